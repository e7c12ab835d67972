"""From a call through the gateway to its record."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from django.utils import timezone

from gateway_core import access
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from llm_proxy.usage.due_calls import look_up_due
from llm_proxy.usage.models import UsageRecord
from tests.timing import wait_until

if TYPE_CHECKING:
    from gateway_core.context import RequestRecord
    from llm_proxy.usage.client import Books
    from tests.conftest import Running
    from tests.llm_proxy.conftest import LiteLLMBooks

SignIn = Callable[..., openai.OpenAI]
HI: Any = [{"role": "user", "content": "hi"}]
PRICED = "gpt-4o-mini"
CHAT = "/api/v1/llm/v1/chat/completions"


@pytest.fixture
def ended(gateway: str, monkeypatch: pytest.MonkeyPatch) -> list[RequestRecord]:
    """The requests that have ended."""
    del gateway
    records: list[RequestRecord] = []
    monkeypatch.setattr(access, "sinks", [records.append])
    return records


@pytest.fixture
def alice(openai_for: SignIn, ended: list[RequestRecord]) -> openai.OpenAI:
    del ended
    return openai_for()


@pytest.fixture
def http(client_for: Callable[[str], httpx.Client], ended: list[RequestRecord]) -> httpx.Client:
    del ended
    return client_for("alice@example.com")


@pytest.fixture
def records(ended: list[RequestRecord]) -> Callable[[], list[UsageRecord]]:
    """Store what has ended, and return the usage records."""

    def store() -> list[UsageRecord]:
        new = ended[:]
        del ended[: len(new)]
        AuditEvent.objects.store([line_of(record) for record in new])
        return list(UsageRecord.objects.order_by("at"))

    return store


Records = Callable[[], list[UsageRecord]]


def fill_in(books: Books) -> None:
    look_up_due(books, timezone.now() + timedelta(seconds=60))


def spent(books: LiteLLMBooks) -> Decimal:
    (user,) = books.get("/user/list")["users"]
    return Decimal(str(user["spend"])).quantize(Decimal("1e-9"))


def test_records_all_of_a_call(alice: openai.OpenAI, records: Records) -> None:
    alice.chat.completions.create(model=PRICED, messages=HI)

    (record,) = records()
    event = AuditEvent.objects.get(pk=record.pk)
    assert (record.kind, record.user_id) == ("call", event.user_id)
    assert (record.model, record.operation) == (PRICED, "chat/completions")
    assert (record.tokens_in, record.tokens_out) == (10, 20)
    assert (record.cost, record.status) == (Decimal("0.05"), 200)
    assert record.virtual_key_id is not None
    assert record.call_id.startswith(f"{record.request_id}-")


def every_operation(client: openai.OpenAI, http: httpx.Client) -> None:
    """Call each, streamed and whole."""
    streamed: Any = {"stream": True}
    client.chat.completions.create(model=PRICED, messages=HI)
    list(client.chat.completions.create(model="stub/s-n3", messages=HI, **streamed))
    client.completions.create(model=PRICED, prompt="hi")
    list(client.completions.create(model="stub/s-n3", prompt="hi", **streamed))
    client.responses.create(model=PRICED, input="hi")
    list(client.responses.create(model=PRICED, input="hi", **streamed))
    for is_streamed in (False, True):
        body = {"model": PRICED, "max_tokens": 9, "messages": HI, "stream": is_streamed}
        http.post("/api/v1/llm/v1/messages", json=body).raise_for_status()
    client.embeddings.create(model="emb", input="hi")
    client.images.generate(model="img", prompt="a hill")
    client.audio.speech.create(model="tts", input="hi", voice="alloy").read()
    client.audio.transcriptions.create(model="stt", file=("a.wav", b"RIFF"))
    client.moderations.create(model="mod", input="hi")
    ranked = {"model": "rr", "query": "q", "documents": ["a", "b"]}
    http.post("/api/v1/llm/rerank", json=ranked).raise_for_status()


def test_records_every_operation_once_and_at_litellms_price(
    alice: openai.OpenAI,
    http: httpx.Client,
    records: Records,
    books: LiteLLMBooks,
    litellms_books: Books,
) -> None:
    every_operation(alice, http)

    known = [record.operation for record in records() if record.cost is not None]
    assert len(known) == 9
    fill_in(litellms_books)
    costs = [record.cost for record in records()]
    assert len(costs) == 14
    assert None not in costs
    assert sum(cost for cost in costs if cost) == spent(books) == Decimal("0.40")


def test_makes_no_record_of_what_is_no_call(
    alice: openai.OpenAI, http: httpx.Client, records: Records
) -> None:
    alice.models.list()
    http.get("/api/v1/me")
    assert http.post(CHAT, json={"model": PRICED, "api_base": "x"}).status_code == 400

    assert records() == []


def as_of_one_call(stream: str) -> str:
    """Take out what differs between two calls."""
    return re.sub(r'"(id|created)": ?("[^"]*"|\d+)', "", stream)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"stream_options": None},
        {"stream_options": {}},
        {"stream_options": {"include_usage": False}},
        {"stream_options": {"include_usage": True}},
    ],
)
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_a_stream_is_what_litellm_would_have_sent(
    http: httpx.Client,
    litellm: Running,
    records: Records,
    path: str,
    members: dict[str, Any],
) -> None:
    body = {"model": "stub/s-n5", "messages": HI, "prompt": "hi", "stream": True, **members}
    del body["prompt" if path.startswith("chat") else "messages"]
    master = {"authorization": f"Bearer {litellm.credentials['LITELLM_MASTER_KEY']}"}

    through = http.post(f"/api/v1/llm/v1/{path}", json=body).raise_for_status().text
    direct = litellm.client.post(f"/v1/{path}", json=body, headers=master).text

    assert as_of_one_call(through) == as_of_one_call(direct)
    (record,) = records()
    assert (record.tokens_in, record.tokens_out, record.cost) == (10, 20, Decimal("0.05"))
    assert record.look_at is not None


def test_does_not_ask_for_usage_where_nothing_would_tell_it(
    http: httpx.Client, litellm: Running
) -> None:
    http.post("/api/v1/llm/v1/responses", json={"model": PRICED, "input": "hi", "stream": True})
    http.post(CHAT, json={"model": PRICED, "messages": HI})

    bodies = [request["body"] for request in litellm.requests("^/v1/")]
    assert len(bodies) == 2
    assert not any("stream_options" in body for body in bodies)


@pytest.mark.parametrize("model", ["stub/s-n200-d20", "stub/slow"])
def test_records_a_call_whose_caller_has_left(
    http: httpx.Client,
    records: Records,
    books: LiteLLMBooks,
    litellms_books: Books,
    model: str,
) -> None:
    """LiteLLM bills what it has sent of a stream, and all of a whole answer, sent or not."""
    body = {"model": model, "messages": HI, "stream": model != "stub/slow"}
    with (
        contextlib.suppress(httpx.ReadTimeout),
        http.stream("POST", CHAT, json=body, timeout=0.3) as answer,
    ):
        next(answer.iter_raw())
    wait_until(records)
    (record,) = records()
    assert (record.cost, record.code) == (None, "caller_gone")

    wait_until(lambda: books.get("/spend/logs"))
    fill_in(litellms_books)

    record.refresh_from_db()
    assert record.cost
    assert record.cost.quantize(Decimal("1e-9")) == spent(books)


@pytest.mark.parametrize(
    ("model", "cost"), [("stub/err500", "0"), ("stub/s-n9-midfail", "0.016"), ("nonesuch", "0")]
)
def test_records_a_call_that_failed_and_what_it_cost(
    http: httpx.Client,
    records: Records,
    litellms_books: Books,
    model: str,
    cost: str,
) -> None:
    http.post(CHAT, json={"model": model, "messages": HI, "stream": True})

    (record,) = records()
    assert record.cost is None
    assert record.code
    fill_in(litellms_books)
    record.refresh_from_db()
    assert record.cost == Decimal(cost)


@pytest.mark.parametrize("fault", [{"status": 503}, {"cut_after": 0}])
def test_does_not_know_what_a_call_has_cost_that_litellm_does_not_name(
    http: httpx.Client, litellm: Running, records: Records, fault: dict[str, Any]
) -> None:
    litellm.fault("^/v1/", **fault)
    assert http.post(CHAT, json={"model": PRICED, "messages": HI}).is_error

    (record,) = records()
    assert record.cost is None


def test_knows_that_a_refused_call_has_cost_nothing(
    http: httpx.Client, litellm: Running, records: Records
) -> None:
    error = {"message": "Budget has been exceeded!", "type": "budget_exceeded", "code": "422"}
    litellm.fault("^/v1/", status=422, body={"error": error})
    assert http.post(CHAT, json={"model": PRICED, "messages": HI}).status_code == 429

    (record,) = records()
    assert (record.cost, record.code) == (Decimal(0), "quota_budget_exhausted")
