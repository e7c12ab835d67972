from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import context
from gateway_core.errors import UpstreamInterrupted
from gateway_core.proxy.exchange import Exchange
from llm_proxy.proxy import ROUTE
from llm_proxy.usage.observer import UsageObserver

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
FACTS = {"tokens_in": 10, "tokens_out": 20}


async def _nothing(*_: Any) -> Any:
    raise AssertionError("not used")


def make_exchange(*, is_stream: bool = False, **headers: str) -> Exchange:
    scope = {"headers": [], "path": "/", "method": "POST"}
    exchange = Exchange(ROUTE, scope, _nothing, _nothing, context.begin(scope), [])
    exchange.is_stream = is_stream
    exchange.upstream_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return exchange


def facts_of(body: bytes, exchange: Exchange | None = None, size: int = 1000) -> dict[str, Any]:
    """Return what is noted of a body that comes in pieces of a size."""
    exchange = exchange or make_exchange()
    observer = UsageObserver(exchange)
    for start in range(0, len(body), size):
        observer.feed(body[start : start + size])
    observer.finish()
    return exchange.record.facts


def event(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


@given(st.integers(1, 300))
def test_reads_a_whole_answer_in_any_pieces(size: int) -> None:
    body = orjson.dumps({"id": "x", "choices": [{"message": {"content": "hi"}}], "usage": USAGE})
    assert facts_of(body, size=size) == FACTS


def test_reads_the_usage_of_a_large_answer_at_its_end() -> None:
    body = orjson.dumps({"data": [{"b64_json": "A" * 2_000_000}], "usage": USAGE})
    assert facts_of(body, size=64 * 1024) == FACTS


def test_reads_the_usage_of_an_anthropic_answer_at_its_start() -> None:
    usage = {"input_tokens": 10, "output_tokens": 20}
    body = orjson.dumps({"id": "x", "usage": usage, "content": [{"text": "A" * 100_000}]})
    assert facts_of(body) == FACTS


def test_reads_the_usage_chunk_of_a_stream() -> None:
    body = event({"choices": [{"delta": {"content": "tok"}}], "usage": None}) * 1000
    body += event({"choices": [], "usage": {**USAGE, "details": {"a": 1}, "cost": 0.05}})
    body += b"data: [DONE]\n\n"
    assert facts_of(body, make_exchange(is_stream=True)) == {**FACTS, "cost": 0.05}


def test_adds_up_an_anthropic_stream_from_both_its_ends() -> None:
    body = event({"message": {"usage": {"input_tokens": 10, "output_tokens": 1}}})
    body += event({"delta": {"text": "A" * 100}}) * 1000
    body += event({"type": "message_delta", "usage": {"output_tokens": 20}})
    assert facts_of(body, make_exchange(is_stream=True)) == FACTS


def test_knows_what_was_told_before_the_caller_left() -> None:
    body = event({"message": {"usage": {"input_tokens": 10, "output_tokens": 1}}})
    assert facts_of(body, make_exchange(is_stream=True)) == {"tokens_in": 10, "tokens_out": 1}


def test_takes_the_cost_of_a_whole_answer_from_its_header() -> None:
    exchange = make_exchange(x_litellm_response_cost="0.05", x_litellm_model_group="stt")
    assert facts_of(b'{"text":"hello"}', exchange) == {"cost": 0.05, "model": "stt"}


def test_does_not_take_the_cost_of_a_stream_from_its_header() -> None:
    exchange = make_exchange(is_stream=True, x_litellm_response_cost="0.0")
    assert "cost" not in facts_of(event({"choices": []}), exchange)


def test_is_not_fooled_by_a_text_that_quotes_usage() -> None:
    said = '"usage": {"prompt_tokens": 999, "completion_tokens": 999}'
    body = orjson.dumps({"choices": [{"message": {"content": said}}]})
    assert facts_of(body) == {}


@given(st.binary(max_size=200))
def test_takes_any_bytes(noise: bytes) -> None:
    facts_of(noise + b'"usage":{' + noise)


FAILURE = b'{"error":{"message":"litellm.X: at http://10.0.0.3","code":"500"}}\n\n'


@pytest.mark.parametrize(
    "failure", [b"data: " + FAILURE, FAILURE, b'event: error\ndata: {"type":"error"}\n\n']
)
@given(size=st.integers(1, 100), before=st.integers(0, 3))
def test_ends_a_stream_that_says_it_has_failed(failure: bytes, size: int, before: int) -> None:
    body = event({"choices": []}) * before + failure + b"data: [DONE]\n\n"
    with pytest.raises(UpstreamInterrupted):
        facts_of(body, make_exchange(is_stream=True), size)


def test_does_not_end_a_stream_that_speaks_of_failure() -> None:
    said = '\n\ndata: {"error": 1}\nevent: error\n'
    body = event({"choices": [{"delta": {"content": said}}]})
    facts_of(body, make_exchange(is_stream=True), 7)


def test_does_not_end_a_whole_answer() -> None:
    facts_of(b"\n" + FAILURE)
