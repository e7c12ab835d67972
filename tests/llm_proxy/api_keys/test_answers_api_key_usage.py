from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.utils import timezone

from gateway_core import access
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from gateway_core.context import RequestRecord
from llm_proxy.models import ApiKey, UsageRecord
from llm_proxy.usage.budget import period_around

SignIn = Callable[[str], httpx.Client]

KEYS = "/api/v1/llm/keys"
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
IN_MARCH = {"from": "2026-03-01", "to": "2026-04-01"}


@pytest.fixture
def alice(client_for: SignIn) -> httpx.Client:
    return client_for("alice@example.com")


def make(client: httpx.Client, **body: Any) -> ApiKey:
    answer = client.post(KEYS, json={"name": "cron", **body}).raise_for_status()
    return ApiKey.objects.get(pk=answer.json()["id"])


def used(key: ApiKey | None, at: datetime, user_id: UUID, **fields: Any) -> None:
    values: dict[str, Any] = {"model": "small", "tokens_in": 10, "tokens_out": 20, "cost": "0.25"}
    key_id = key.pk if key else None
    row = values | fields
    UsageRecord.objects.create(pk=uuid4(), user_id=user_id, api_key_id=key_id, at=at, **row)


def usage(client: httpx.Client, key: ApiKey, **query: str) -> Any:
    answer = client.get(f"{KEYS}/{key.pk}/usage", params=query)
    return answer.raise_for_status().json()


def test_adds_up_the_calls_with_one_key_by_day(alice: httpx.Client) -> None:
    key, other = make(alice), make(alice)
    for day in (0, 0.5, 3):
        used(key, MARCH + timedelta(days=day), key.user_id)
    used(other, MARCH, key.user_id)
    used(None, MARCH, key.user_id)
    used(key, MARCH + timedelta(days=31), key.user_id)

    answer = usage(alice, key, group_by="day", **IN_MARCH)

    assert answer["totals"] == {
        "calls": 3,
        "open_calls": 0,
        "turns": 0,
        "tokens_in": 30,
        "tokens_out": 60,
        "cost": "0.75",
    }
    assert [(group["day"], group["calls"], group["cost"]) for group in answer["groups"]] == [
        ("2026-03-01", 2, "0.5"),
        ("2026-03-04", 1, "0.25"),
    ]


@pytest.mark.parametrize("period", ["1d", "7d", "30d"])
def test_says_what_is_left_of_the_keys_own_budget(alice: httpx.Client, period: str) -> None:
    key = make(alice, budget="2", budget_period=period)
    span = period_around(period, timezone.now())
    assert span is not None
    used(key, span[0], key.user_id)
    used(key, span[0] - timedelta(seconds=1), key.user_id)
    used(None, span[0], key.user_id)

    answer = usage(alice, key)

    budget = answer["budget"]
    assert (budget["limit"], budget["spent"], budget["remaining"]) == ("2", "0.25", "1.75")
    assert (budget["period"], budget["resets_at"]) == (period, span[1].strftime("%FT%TZ"))
    assert answer["from"] == span[0].strftime("%FT%TZ")
    assert answer["totals"]["calls"] == 1


def test_nothing_is_left_when_more_was_spent(alice: httpx.Client) -> None:
    key = make(alice, budget="0.1")
    used(key, timezone.now(), key.user_id)

    assert usage(alice, key)["budget"]["remaining"] == "0"


def test_a_key_without_a_budget_has_no_remainder(alice: httpx.Client) -> None:
    budget = usage(alice, make(alice))["budget"]

    assert (budget["limit"], budget["remaining"], budget["spent"]) == (None, None, "0")


def test_is_told_of_dead_keys_too(alice: httpx.Client) -> None:
    key = make(alice)
    used(key, MARCH, key.user_id)
    alice.delete(f"{KEYS}/{key.pk}").raise_for_status()

    assert usage(alice, key, **IN_MARCH)["totals"]["calls"] == 1


def test_is_told_to_nobody_else(alice: httpx.Client, client_for: SignIn) -> None:
    key = make(alice)
    answer = client_for("bob@example.com").get(f"{KEYS}/{key.pk}/usage")

    assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")


def test_counts_what_was_called_through_the_gateway(
    alice: httpx.Client, gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = alice.post(KEYS, json={"name": "cron"}).json()["secret"]
    ended: list[RequestRecord] = []
    monkeypatch.setattr(access, "sinks", [ended.append])
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {secret}"}
    httpx.post(f"{gateway}/api/v1/llm/chat/completions", json=body, headers=headers)
    AuditEvent.objects.store([line_of(record) for record in ended])

    key = ApiKey.objects.get()
    totals = usage(alice, key)["totals"]
    assert (totals["calls"], totals["cost"]) == (1, "0.05")
    assert alice.get(f"{KEYS}/{key.pk}").json()["last_used_at"] is not None
