from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.plans.models import BudgetPeriod, Plan, UserPlan
from accounts.plans.services import save_plan
from gateway_core import cache
from gateway_core.errors import FieldInvalid
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.usage import report
from llm_proxy.usage.budget import budget_of
from llm_proxy.usage.models import UsageRecord
from llm_proxy.usage.report import report_usage

if TYPE_CHECKING:
    from tests.conftest import Running
    from tests.llm_proxy.conftest import LiteLLMBooks

SignIn = Callable[[str], httpx.Client]

PATH = "/api/v1/me/usage"
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
IN_MARCH = {"from": "2026-03-01", "to": "2026-04-01T00:00:00Z"}


@pytest.fixture
def alice(client_for: SignIn) -> httpx.Client:
    return client_for("alice@example.com")


@pytest.fixture
def alice_id(alice: httpx.Client) -> UUID:
    user_id = UUID(alice.get("/api/v1/me").json()["id"])
    cache.clear_all()  # of the budget that was told, which the test is about to change
    return user_id


def used(user_id: UUID, at: datetime, **fields: Any) -> UsageRecord:
    values: dict[str, Any] = {"model": "small", "tokens_in": 10, "tokens_out": 20, "cost": 1}
    return UsageRecord.objects.create(pk=uuid4(), user_id=user_id, at=at, **values | fields)


def days(number: float) -> timedelta:
    return timedelta(days=number)


def of(client: httpx.Client, **query: Any) -> Any:
    return client.get(PATH, params=query).raise_for_status().json()


def test_adds_up_what_was_used(alice: httpx.Client, alice_id: UUID) -> None:
    used(alice_id, MARCH, cost=Decimal("0.05"))
    used(alice_id, MARCH + days(30.99), cost=None, tokens_in=None)
    used(alice_id, MARCH, kind="turn", cost=None, agent_id="agent-1")
    used(alice_id, MARCH - days(0.01))
    used(alice_id, MARCH + days(31))
    used(uuid4(), MARCH)

    answer = of(alice, **IN_MARCH)

    assert (answer["from"], answer["to"]) == ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")
    assert answer["totals"] == {
        "calls": 2,
        "open_calls": 1,
        "turns": 1,
        "tokens_in": 10,
        "tokens_out": 40,
        "cost": "0.05",
    }
    assert answer["groups"] == []


def test_is_all_zero_for_whom_has_used_nothing(alice: httpx.Client) -> None:
    totals = of(alice, group_by="day,model,agent,key")["totals"]

    assert totals.pop("cost") == "0"
    assert set(totals.values()) == {0}


def test_groups_by_each(alice: httpx.Client, alice_id: UUID) -> None:
    key = ApiKey.objects.create(
        user=User.objects.get(pk=alice_id), name="server", hint="gwk_x", secret_hash="x",
        scopes=["llm"],
    )  # fmt: skip
    used(alice_id, MARCH, api_key_id=key.pk)
    used(alice_id, MARCH + days(1), model="large", cost=5)
    used(alice_id, MARCH + days(1), agent_id="agent-1", cost=7)
    used(alice_id, MARCH + days(1), kind="turn", agent_id="agent-1", cost=None, model="")

    def groups(by: str) -> list[dict[str, Any]]:
        names = ("day", "model", "agent_id", "api_key_id", "api_key_name", "turns", "cost")
        rows = of(alice, **IN_MARCH, group_by=by)["groups"]
        return [{name: row[name] for name in names if name in row} for row in rows]

    assert groups("day") == [
        {"day": "2026-03-01", "cost": "1", "turns": 0},
        {"day": "2026-03-02", "cost": "12", "turns": 1},
    ]
    assert groups("model") == [
        {"model": "large", "cost": "5", "turns": 0},
        {"model": "small", "cost": "8", "turns": 0},
    ]
    assert groups("agent") == [
        {"agent_id": "", "cost": "6", "turns": 0},
        {"agent_id": "agent-1", "cost": "7", "turns": 1},
    ]
    assert groups("key") == [
        {"api_key_id": str(key.pk), "api_key_name": "server", "cost": "1", "turns": 0},
        {"api_key_id": None, "api_key_name": "", "cost": "12", "turns": 1},
    ]
    assert len(groups("day,model,agent,key")) == 3
    first = {"day": "2026-03-01", "agent_id": "", "cost": "1", "turns": 0}
    assert groups("agent, day,agent")[0] == first


def test_counts_this_budget_period_unless_told_otherwise(
    alice: httpx.Client, alice_id: UUID
) -> None:
    now = timezone.now()
    used(alice_id, now - timedelta(seconds=1))
    used(alice_id, now.replace(day=1, hour=0, minute=0, second=0) - timedelta(seconds=1))

    answer = of(alice)

    assert answer["totals"]["calls"] == 1
    assert answer["from"] == now.strftime("%Y-%m-01T00:00:00Z")


def test_tells_what_litellm_counts(
    alice: httpx.Client, alice_id: UUID, books: LiteLLMBooks
) -> None:
    UserPlan.objects.create(user_id=alice_id, budget=Decimal("0.12"), budget_period="1d")
    limits = {"max_budget": 0.12, "budget_duration": "1d"}
    books.post("/user/new", {"user_id": str(alice_id), "auto_create_key": False, **limits})
    key = books.post("/key/generate", {"user_id": str(alice_id)})["key"]
    call = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(2):
        headers = {"authorization": f"Bearer {key}"}
        books._client.post("/v1/chat/completions", json=call, headers=headers).raise_for_status()

    budget = of(alice)["budget"]

    tomorrow = timezone.now() + days(1)
    assert budget == {
        "limit": "0.12",
        "spent": "0.1",
        "remaining": "0.02",
        "period": "1d",
        "resets_at": tomorrow.strftime("%Y-%m-%dT00:00:00Z"),
        "is_exact": True,
    }


def test_tells_the_limits_of_a_plan_that_litellm_is_about_to_be_told_of(
    alice: httpx.Client, alice_id: UUID, books: LiteLLMBooks
) -> None:
    known = {"max_budget": 10, "budget_duration": "30d", "spend": 1.5}
    books.post("/user/new", {"user_id": str(alice_id), "auto_create_key": False, **known})
    plan = Plan.objects.get(is_default=True)
    plan.budget, plan.budget_period = Decimal(3), BudgetPeriod.DAY
    save_plan(plan=plan, by=None)

    answer = of(alice)
    budget = answer["budget"]

    assert (budget["limit"], budget["spent"], budget["remaining"]) == ("3", "1.5", "1.5")
    assert (budget["period"], budget["is_exact"]) == ("1d", True)
    today = timezone.now()
    assert budget["resets_at"] == (today + days(1)).strftime("%Y-%m-%dT00:00:00Z")
    assert answer["from"] == today.strftime("%Y-%m-%dT00:00:00Z")
    me = alice.get("/api/v1/me").raise_for_status().json()
    assert me["limits"]["budget"] == me["holdings"]["budget"]["limit"] == "3"


def test_tells_the_plan_of_whom_litellm_does_not_know_yet(
    alice: httpx.Client, alice_id: UUID
) -> None:
    plan = Plan.objects.create(name="paid", budget=10, budget_period="7d")
    UserPlan.objects.create(user_id=alice_id, plan=plan)

    budget = of(alice)["budget"]

    assert (budget["limit"], budget["spent"], budget["remaining"]) == ("10", "0", "10")
    assert budget["period"] == "7d"
    assert datetime.fromisoformat(budget["resets_at"]).weekday() == 0
    assert budget["is_exact"] is True


def test_adds_up_by_itself_while_litellm_is_away(
    alice: httpx.Client, alice_id: UUID, litellm: Running
) -> None:
    litellm.fault("^/v2/user", status=503)
    plan = Plan.objects.create(name="paid", budget=10, budget_period="30d")
    UserPlan.objects.create(user_id=alice_id, plan=plan)
    used(alice_id, timezone.now(), cost=3)
    used(alice_id, MARCH, cost=3)

    budget = of(alice)["budget"]

    assert (budget["spent"], budget["remaining"], budget["is_exact"]) == ("3", "7", False)
    assert datetime.fromisoformat(budget["resets_at"]).day == 1


def test_adds_up_by_itself_until_litellm_notices_that_a_period_is_over(
    alice: httpx.Client, alice_id: UUID, books: LiteLLMBooks
) -> None:
    del alice
    limits = {"max_budget": 10, "budget_duration": "1d"}
    books.post("/user/new", {"user_id": str(alice_id), "auto_create_key": False, **limits})
    used(alice_id, timezone.now() + days(40), cost=3)

    budget = budget_of(alice_id, timezone.now() + days(40))

    assert (budget.spent, budget.is_exact) == (Decimal(3), False)


def test_asks_litellm_once_in_a_few_seconds(alice: httpx.Client, litellm: Running) -> None:
    for _ in range(3):
        of(alice)

    assert len(litellm.requests("^/v2/user/info")) == 1


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"from": "yesterday"}, "/from"),
        ({"to": "2026-13-01"}, "/to"),
        ({"group_by": "weather"}, "/group_by"),
        ({"from": "2026-04-01", "to": "2026-03-01"}, "/from"),
        ({"from": "2025-01-01", "to": "2026-03-01"}, "/from"),
        ({"from": "2099-01-01"}, "/from"),
    ],
)
def test_refuses_what_makes_no_sense(
    alice: httpx.Client, query: dict[str, str], param: str
) -> None:
    answer = alice.get(PATH, params=query)

    assert answer.status_code == 422
    assert answer.json()["code"] == "caller_field_invalid"
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(("to", "since"), [("2025-03-15", "03-01"), ("2025-04-01", "03-01")])
def test_begins_with_the_period_that_the_end_is_in(
    alice: httpx.Client, to: str, since: str
) -> None:
    assert of(alice, to=to)["from"] == f"2025-{since}T00:00:00Z"


def test_says_that_a_date_will_do(alice: httpx.Client) -> None:
    answer = alice.get(PATH, params={"from": "yesterday"})

    assert "a date like 2026-11-23" in answer.json()["detail"]


def test_is_for_users_who_have_signed_in(gateway: str) -> None:
    assert httpx.get(gateway + PATH).status_code == 401


@pytest.mark.django_db
def test_refuses_more_groups_than_anybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_GROUPS", 2)
    user_id = uuid4()
    for number in range(3):
        used(user_id, MARCH, model=f"model-{number}")

    with pytest.raises(FieldInvalid, match="more than 2 groups"):
        report_usage(user_id=user_id, since=MARCH, until=MARCH + days(1), group_by=["model"])


@pytest.mark.django_db
def test_makes_the_same_queries_however_much_there_is() -> None:
    user_id = uuid4()

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            report_usage(
                user_id=user_id,
                since=MARCH,
                until=MARCH + days(90),
                group_by=["day", "model", "agent", "key"],
            )
        return len(captured)

    used(user_id, MARCH)
    few = queries()
    for number in range(30):
        used(user_id, MARCH + days(number), model=str(number), api_key_id=uuid4())

    assert queries() == few == 3
