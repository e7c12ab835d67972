from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.utils import timezone

from accounts.models import User
from accounts.supabase import client as supabase_client
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from gateway_core.idempotency.models import IdempotencyRecord
from llm_proxy.models import ApiKey, UsageRecord
from tests.conftest import RunningSupabase

KEYS = "/api/v1/llm/keys"
SignIn = Callable[[str], httpx.Client]


@pytest.fixture
def alice(client_for: SignIn) -> httpx.Client:
    return client_for("alice@example.com")


@pytest.fixture
def bob(client_for: SignIn) -> httpx.Client:
    return client_for("bob@example.com")


def make(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(KEYS, json={"name": "cron", **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def code_of(answer: httpx.Response) -> tuple[int, str, str | None]:
    problem = answer.json()
    return answer.status_code, problem["code"], problem["error"]["param"]


def test_makes_a_key_and_shows_its_secret_once(alice: httpx.Client) -> None:
    answer = alice.post(KEYS, json={"name": "cron"})

    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert made["secret"].startswith(made["hint"])
    assert made | {"secret": ""} == {
        "id": made["id"],
        "name": "cron",
        "hint": made["secret"][:8],
        "state": "active",
        "scopes": ["llm"],
        "models": [],
        "budget": None,
        "budget_period": "30d",
        "expires_at": None,
        "previous_valid_until": None,
        "created_at": made["created_at"],
        "rotated_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "secret": "",
    }
    for later in (alice.get(KEYS), alice.get(f"{KEYS}/{made['id']}")):
        assert made["secret"] not in later.text
        assert '"secret"' not in later.text


def test_keeps_neither_secret_nor_hash_where_anybody_reads(alice: httpx.Client) -> None:
    made = make(alice)

    row = ApiKey.objects.values().get()
    assert made["secret"] not in str(row)
    told = alice.get(KEYS).text + alice.get(f"{KEYS}/{made['id']}").text
    assert row["secret_hash"] not in told
    trail = str(list(AuditEvent.objects.values()))
    assert made["secret"] not in trail
    assert row["secret_hash"] not in trail


def test_takes_all_that_a_key_can_be(alice: httpx.Client) -> None:
    wish = {
        "name": "  nightly run ",
        "scopes": ["letta", "llm", "llm"],
        "models": ["openai/gpt-5", "stub/*"],
        "budget": "12.5",
        "budget_period": "1d",
        "expires_at": "2099-01-02T03:04:05Z",
    }
    made = make(alice, **wish)

    kept = alice.get(f"{KEYS}/{made['id']}").json()
    assert kept == {name: value for name, value in made.items() if name != "secret"}
    assert (kept["name"], kept["scopes"]) == ("nightly run", ["letta", "llm"])
    assert (kept["budget"], kept["budget_period"]) == ("12.5", "1d")
    assert kept["models"] == ["openai/gpt-5", "stub/*"]
    assert kept["expires_at"] == "2099-01-02T03:04:05Z"


def test_makes_one_key_when_a_request_is_repeated(alice: httpx.Client) -> None:
    answers = [
        alice.post(KEYS, json={"name": "cron"}, headers={"idempotency-key": "make-it-once"})
        for _ in range(2)
    ]

    assert answers[0].json() == answers[1].json()
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 2
    assert ApiKey.objects.count() == 1
    kept = str(list(IdempotencyRecord.objects.values()))
    assert answers[0].json()["secret"] not in kept


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\u202eb"}, "/name"),
        ({"name": "a\u200bb"}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "\x1b[31m"}, "/name"),
        ({"name": None}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["admin"]}, "/scopes/0"),
        ({"scopes": "llm"}, "/scopes"),
        ({"models": ["a,b"]}, "/models/0"),
        ({"models": ["http://10.0.0.1/v1"]}, "/models/0"),
        ({"models": ["x" * 257]}, "/models/0"),
        ({"models": ["m"] * 201}, "/models"),
        ({"budget": 0}, "/budget"),
        ({"budget": -1}, "/budget"),
        ({"budget": "NaN"}, "/budget"),
        ({"models": ["gpt-*", "*a*a*"]}, "/models"),
        ({"models": ["a+a+*"]}, "/models"),
        ({"budget": "0.00001"}, "/budget"),
        ({"budget": 1e9}, "/budget"),
        ({"budget": "1", "scopes": ["letta"]}, "/budget"),
        ({"budget_period": "1h"}, "/budget_period"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expire_at": "2099-01-01T00:00:00Z"}, "/expire_at"),
        ({"secret": "gwk_mine"}, "/secret"),
        ({"user": str(uuid4())}, "/user"),
        ({"id": str(uuid4())}, "/id"),
    ],
)
def test_refuses_what_a_key_can_not_be(
    alice: httpx.Client, body: dict[str, Any], param: str
) -> None:
    answer = alice.post(KEYS, json={"name": "cron", **body})

    assert code_of(answer) == (422, "caller_field_invalid", param)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("POST", "/{id}/rotate"), ("PATCH", "/{id}")]
)
def test_keeps_a_session_that_has_ended_at_supabase_from_living_on_in_a_key(
    alice: httpx.Client, method: str, path: str
) -> None:
    made = make(alice)
    cache.clear_all()  # what Supabase has said is remembered for a while
    token = alice.headers["authorization"].removeprefix("Bearer ")
    supabase_client.sign_out(token.encode())

    answer = alice.request(method, KEYS + path.format(**made), json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "caller_token_revoked")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("body", [[], "cron", 7, None])
def test_refuses_what_is_no_object(alice: httpx.Client, body: Any) -> None:
    assert alice.post(KEYS, json=body).status_code == 422


def test_lists_the_newest_first(alice: httpx.Client) -> None:
    made = [make(alice, name=f"key {number}")["id"] for number in range(3)]
    first = alice.get(KEYS, params={"limit": 2}).json()
    second = alice.get(KEYS, params={"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [key["id"] for key in first["data"] + second["data"]] == made[::-1]
    assert second["next_cursor"] is None


def test_changes_only_what_is_given(alice: httpx.Client) -> None:
    made = make(alice, budget="3", models=["m"])
    answer = alice.patch(f"{KEYS}/{made['id']}", json={"name": "other", "budget": None})

    assert answer.status_code == 200
    del made["secret"]
    assert answer.json() == {**made, "name": "other", "budget": None}


def test_rotates_with_an_overlap(alice: httpx.Client) -> None:
    made = make(alice)
    answer = alice.post(f"{KEYS}/{made['id']}/rotate", json={"overlap_seconds": 60})

    rotated = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert rotated["secret"] != made["secret"]
    assert rotated["hint"] == rotated["secret"][:8]
    left = datetime.fromisoformat(rotated["previous_valid_until"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)


def test_rotates_with_a_day_of_overlap_when_nothing_is_said(alice: httpx.Client) -> None:
    made = make(alice)
    rotated = alice.post(f"{KEYS}/{made['id']}/rotate").json()

    left = datetime.fromisoformat(rotated["previous_valid_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)


@pytest.mark.parametrize("seconds", [-1, 31 * 86400, "soon", None])
def test_bounds_the_overlap(alice: httpx.Client, seconds: Any) -> None:
    made = make(alice)
    answer = alice.post(f"{KEYS}/{made['id']}/rotate", json={"overlap_seconds": seconds})

    assert code_of(answer) == (422, "caller_field_invalid", "/overlap_seconds")


def test_revokes_as_often_as_asked(alice: httpx.Client) -> None:
    made = make(alice)
    for _ in range(2):
        assert alice.delete(f"{KEYS}/{made['id']}").status_code == 204

    kept = alice.get(f"{KEYS}/{made['id']}").json()
    assert kept["state"] == "revoked"
    assert kept["revoked_at"]
    assert AuditEvent.objects.filter(action="api_key.revoke").count() == 1


def test_keeps_a_budget_from_a_key_that_spends_on_no_budget_of_its_own(alice: httpx.Client) -> None:
    key, other = make(alice, budget="1"), make(alice, scopes=["letta"])
    answers = [
        alice.patch(f"{KEYS}/{key['id']}", json={"scopes": ["letta"]}),
        alice.patch(f"{KEYS}/{other['id']}", json={"budget": "1"}),
    ]
    assert [code_of(answer) for answer in answers] == [(422, "caller_field_invalid", "/budget")] * 2
    both = {"scopes": ["letta"], "budget": None}
    assert alice.patch(f"{KEYS}/{key['id']}", json=both).is_success


@pytest.mark.parametrize("dead", ["revoked_at", "expires_at"])
def test_leaves_a_dead_key_as_it_is(alice: httpx.Client, dead: str) -> None:
    made = make(alice)
    ApiKey.objects.update(**{dead: timezone.now()})

    later = (timezone.now() + timedelta(days=1)).isoformat()
    answers = [
        alice.patch(f"{KEYS}/{made['id']}", json={"expires_at": later}),
        alice.post(f"{KEYS}/{made['id']}/rotate"),
    ]
    assert [code_of(answer)[:2] for answer in answers] == [(409, "caller_conflict")] * 2


def test_tells_when_a_key_was_last_used(alice: httpx.Client) -> None:
    made = make(alice)
    for day in (3, 7, 5):
        UsageRecord.objects.create(
            pk=uuid4(),
            at=datetime(2026, 2, day, tzinfo=UTC),
            user_id=ApiKey.objects.get().user_id,
            api_key_id=UUID(made["id"]),
        )
    (key,) = alice.get(KEYS).json()["data"]

    assert key["last_used_at"] == "2026-02-07T00:00:00Z"


def test_nobody_reaches_the_keys_of_others(alice: httpx.Client, bob: httpx.Client) -> None:
    made = make(alice)
    path = f"{KEYS}/{made['id']}"
    before = ApiKey.objects.values().get()

    answers = [
        bob.get(path),
        bob.patch(path, json={"name": "mine"}),
        bob.delete(path),
        bob.post(f"{path}/rotate"),
        bob.get(f"{path}/usage"),
    ]
    assert [code_of(answer)[:2] for answer in answers] == [(404, "caller_not_found")] * 5
    unknown = bob.get(f"{KEYS}/{uuid4()}")
    assert unknown.json()["detail"] == answers[0].json()["detail"]
    assert bob.get(KEYS).json()["data"] == []
    assert ApiKey.objects.values().get() == before


@pytest.mark.parametrize("method", ["get", "post"])
def test_asks_for_a_sign_in(gateway: str, method: str) -> None:
    answer = httpx.request(method, f"{gateway}{KEYS}", json={} if method == "post" else None)

    assert code_of(answer)[:2] == (401, "caller_token_missing")


def test_a_key_manages_no_keys(gateway: str, alice: httpx.Client) -> None:
    made = make(alice, scopes=["llm", "letta"])
    headers = {"authorization": f"Bearer {made['secret']}"}

    answers = [
        httpx.get(f"{gateway}{KEYS}", headers=headers),
        httpx.post(f"{gateway}{KEYS}", headers=headers, json={"name": "more"}),
        httpx.delete(f"{gateway}{KEYS}/{made['id']}", headers=headers),
    ]
    assert [code_of(answer)[:2] for answer in answers] == [(403, "policy_scope_missing")] * 3
    assert ApiKey.objects.get().revoked_at is None


def test_anonymous_users_have_none(gateway: str, supabase: RunningSupabase) -> None:
    token = supabase.token("ghost@example.com", is_anonymous=True)
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.post(f"{gateway}{KEYS}", headers=headers, json={"name": "cron"})

    assert code_of(answer)[:2] == (403, "policy_forbidden")
    assert User.objects.get().is_anonymous_user
    assert httpx.get(f"{gateway}{KEYS}", headers=headers).json()["data"] == []


def test_records_who_changed_what(alice: httpx.Client) -> None:
    made = make(alice, budget="3")
    path = f"{KEYS}/{made['id']}"
    alice.patch(path, json={"budget": "4", "name": "cron"})
    alice.post(f"{path}/rotate", json={"overlap_seconds": 0})
    alice.delete(path)

    events = AuditEvent.objects.order_by("id").filter(action__startswith="api_key.")
    assert {(event.user_email, event.resource) for event in events} == {
        ("alice@example.com", f"api_key:{made['id']}")
    }
    assert [event.action.removeprefix("api_key.") for event in events] == [
        *("create", "update", "rotate", "revoke")
    ]
    assert events[0].facts["budget"] == "3.0000"
    assert events[1].facts == {"budget": "4.0000"}


def test_there_is_no_other_way_to_write(alice: httpx.Client) -> None:
    made = make(alice)

    assert alice.put(f"{KEYS}/{made['id']}", json={"name": "x"}).status_code == 405
    assert alice.delete(KEYS).status_code == 405
    assert alice.get(f"{KEYS}/not-an-id").status_code == 404
