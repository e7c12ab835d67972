"""Whatever happens to calls, and to their events, records add up to what LiteLLM has billed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from django.core.management import call_command
from django.db.models import Sum
from django.utils import timezone

from gateway_core import access
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from llm_proxy.usage.models import UsageRecord
from tests.timing import wait_until

if TYPE_CHECKING:
    from gateway_core.context import RequestRecord
    from tests.llm_proxy.conftest import LiteLLMBooks

HI: Any = [{"role": "user", "content": "hi"}]
_CALLS = 20
STREAM: Any = {"model": "stub/s-n5", "messages": HI, "stream": True}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("/chat/completions", {"model": "gpt-4o-mini", "messages": HI}),
    ("/chat/completions", STREAM),
    ("/chat/completions", {**STREAM, "stream_options": {"include_usage": True}}),
    ("/chat/completions", {**STREAM, "model": "stub/s-n9-midfail"}),
    ("/chat/completions", {**STREAM, "model": "stub/s-n100-d10"}),  # the caller leaves
    ("/chat/completions", {"model": "stub/err500", "messages": HI}),
    ("/completions", {"model": "stub/s-n5", "prompt": "hi", "stream": True}),
    ("/messages", {"model": "gpt-4o-mini", "max_tokens": 9, "messages": HI, "stream": True}),
    ("/images/generations", {"model": "img", "prompt": "a hill"}),
]


@pytest.fixture
def ended(gateway: str, monkeypatch: pytest.MonkeyPatch) -> list[RequestRecord]:
    """The requests that have ended."""
    del gateway
    records: list[RequestRecord] = []
    monkeypatch.setattr(access, "sinks", [records.append])
    return records


def make(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    with client.stream("POST", f"/api/v1/llm/v1{path}", json=body) as answer:
        for number, _ in enumerate(answer.iter_raw()):
            if "d10" in body["model"] and number == 2:
                return


@pytest.mark.parametrize("seed", range(4))
def test_records_add_up_to_what_litellm_bills(
    client_for: Callable[[str], httpx.Client],
    ended: list[RequestRecord],
    books: LiteLLMBooks,
    seed: int,
) -> None:
    """Of two users; an event that comes 0 times is one of a gateway that was killed."""
    chance = random.Random(seed)  # noqa: S311 - for tests
    people = [client_for(f"{name}@example.com") for name in ("alice", "bob")]
    for number in range(1, _CALLS + 1):
        make(chance.choice(people), *chance.choice(CALLS))
        wait_until(lambda count=number: len(ended) == count)  # type: ignore[misc]
        line = line_of(ended[-1])
        for _ in range(chance.randint(0, 3)):
            AuditEvent.objects.store([line])
    wait_until(lambda: len(books.get("/spend/logs")) == _CALLS)

    soon = timezone.now() + timedelta(seconds=2)
    call_command("reconcile_usage", until=soon, idle=0, stdout=io.StringIO())

    for user_id in books.users():
        recorded = UsageRecord.objects.filter(user_id=user_id).aggregate(cost=Sum("cost"))["cost"]
        spend = books.get("/v2/user/info", user_id=user_id)["spend"]
        assert recorded == Decimal(repr(spend)).quantize(Decimal("1e-9")) > 0
