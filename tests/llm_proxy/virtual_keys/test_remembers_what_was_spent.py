"""A user or a key that LiteLLM has lost does not get the budget of this period once more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.core.management import call_command
from django.utils import timezone

from gateway_core import access
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from gateway_core.context import RequestRecord
from llm_proxy.models import ApiKey, VirtualKey
from llm_proxy.usage.models import UsageRecord
from llm_proxy.virtual_keys.services import replace_virtual_key
from tests.llm_proxy.conftest import LiteLLMBooks
from tests.timing import wait_until

UseKey = Callable[..., str]
Store = Callable[[int], None]
PATH = "/api/v1/llm/chat/completions"
# Five cents a call.
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def store(gateway: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Wait until so many calls have ended, and store their records."""
    del gateway
    ended: list[RequestRecord] = []
    monkeypatch.setattr(access, "sinks", [ended.append])

    def store(count: int) -> None:
        calls: list[RequestRecord] = []

        def have_ended() -> bool:
            calls[:] = [record for record in ended if "cost" in record.facts]
            return len(calls) == count

        wait_until(have_ended)
        AuditEvent.objects.store([line_of(record) for record in calls])

    return store


def lose(books: LiteLLMBooks, user_id: UUID) -> None:
    """Have LiteLLM forget a user with all keys."""
    books.post("/user/delete", {"user_ids": [str(user_id)]})
    assert books.keys_of(user_id) == []


def spent(books: LiteLLMBooks, user_id: UUID) -> float:
    return float(books.get("/v2/user/info", user_id=user_id)["spend"])


def used(user_id: UUID, cost: str | None, *, at: datetime | None = None, **fields: Any) -> None:
    values = {"pk": uuid4(), "user_id": user_id, "at": at or timezone.now(), **fields}
    UsageRecord.objects.create(cost=None if cost is None else Decimal(cost), **values)


def new_api_key(user_id: UUID, **fields: Any) -> ApiKey:
    values = {"name": "ci", "hint": "gwk_ab", "secret_hash": uuid4().hex * 2, "scopes": ["llm"]}
    return ApiKey.objects.create(user_id=user_id, **values, **fields)


def test_a_lost_user_goes_on_with_what_they_have_spent(
    client_for: Callable[[str], httpx.Client], books: LiteLLMBooks, store: Store
) -> None:
    alice = client_for("alice@example.com")
    assert alice.post(PATH, json=CHAT).status_code == 200
    store(1)
    user_id = VirtualKey.objects.get().user_id
    lose(books, user_id)

    assert alice.post(PATH, json=CHAT).status_code == 200
    assert spent(books, user_id) == pytest.approx(0.1)
    store(2)
    answer = alice.get("/api/v1/me/usage").raise_for_status().json()
    assert answer["budget"]["is_exact"] is True
    assert Decimal(answer["budget"]["spent"]) == Decimal(answer["totals"]["cost"])


def test_a_spent_api_key_stays_spent_when_litellm_has_lost_it(
    client_for: Callable[[str], httpx.Client], books: LiteLLMBooks, gateway: str, store: Store
) -> None:
    alice = client_for("alice@example.com")
    wish = {"name": "cron", "budget": "0.03"}
    made = alice.post("/api/v1/llm/keys", json=wish).raise_for_status().json()
    headers = {"authorization": f"Bearer {made['secret']}"}

    def call() -> str:
        answer = httpx.post(f"{gateway}{PATH}", json=CHAT, headers=headers)
        return "" if answer.is_success else str(answer.json()["code"])

    assert [call(), call()] == ["", "quota_budget_exhausted"]
    store(2)
    lose(books, VirtualKey.objects.get().user_id)

    assert call() == "quota_budget_exhausted"


def test_counts_this_period_of_this_user_alone(
    alice: UUID, bob: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    used(alice, "0.25")
    used(alice, "0.5", api_key_id=uuid4())
    used(alice, None)  # not known yet
    used(alice, "4", at=timezone.now() - timedelta(days=32))
    used(bob, "2")

    use_key(alice)

    assert spent(books, alice) == pytest.approx(0.75)
    assert books.keys_of(alice)[0]["spend"] == 0  # of a managed key only the user's budget counts


def test_an_api_key_counts_what_went_over_it_in_its_own_period(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    api_key = new_api_key(alice, budget=3, budget_period="1d")
    used(alice, "0.25", api_key_id=api_key.pk)
    used(alice, "0.5", api_key_id=api_key.pk, at=timezone.now() - timedelta(days=1))
    used(alice, "1")

    use_key(alice, api_key.pk)

    assert books.keys_of(alice)[0]["spend"] == pytest.approx(0.25)


def test_sync_keys_gives_no_budget_back(alice: UUID, use_key: UseKey, books: LiteLLMBooks) -> None:
    use_key(alice)
    api_key = new_api_key(alice, budget=3)
    use_key(alice, api_key.pk)
    used(alice, "0.25", api_key_id=api_key.pk)
    lose(books, alice)

    call_command("sync_keys", verbosity=0)

    assert spent(books, alice) == pytest.approx(0.25)
    assert sorted(key["spend"] for key in books.keys_of(alice)) == pytest.approx([0, 0.25])


def test_a_user_whom_litellm_still_has_keeps_its_count(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    used(alice, "0.25")
    books.post("/user/update", {"user_id": str(alice), "spend": 0.5})
    books.post("/key/delete", {"keys": [VirtualKey.objects.get().token_hash]})

    call_command("sync_keys", verbosity=0)

    assert spent(books, alice) == 0.5


@pytest.mark.parametrize("counts", [(0.75, "0.25"), (0.25, "0.75")])
def test_of_a_replaced_key_the_higher_count_holds(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks, counts: tuple[float, str]
) -> None:
    counted, recorded = counts
    api_key = new_api_key(alice, budget=3)
    use_key(alice, api_key.pk)
    old = VirtualKey.objects.get()
    books.post("/key/update", {"key": old.token_hash, "spend": counted})
    used(alice, recorded, api_key_id=api_key.pk)

    replace_virtual_key(virtual_key_id=old.pk, by=None)

    assert books.keys_of(alice)[0]["spend"] == pytest.approx(0.75)


def test_what_a_replaced_key_had_spent_is_over_with_its_period(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    api_key = new_api_key(alice, budget=3)
    use_key(alice, api_key.pk)
    old = VirtualKey.objects.get()
    past = (timezone.now() - timedelta(days=1)).isoformat()
    change = {"spend": 0.75, "budget_reset_at": past}
    books.post("/key/update", {"key": old.token_hash, **change})

    replace_virtual_key(virtual_key_id=old.pk, by=None)

    assert books.keys_of(alice)[0]["spend"] == 0
