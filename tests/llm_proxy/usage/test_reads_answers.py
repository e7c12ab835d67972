from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import ProviderInterrupted
from gateway_core.proxy.exchange import AnswerFailed
from gateway_core.sse import FrameAligner
from llm_proxy.usage.observer import BodyObserver, StreamObserver

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
FACTS = {"tokens_in": 10, "tokens_out": 20}
# LiteLLM may bill a stream something else.
TOLD = {**FACTS, "cost": 0.05, "provisional": True}
DONE = b"data: [DONE]\n\n"


def event(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def said(text: str, **members: Any) -> bytes:
    return event({"id": "x", "choices": [{"index": 0, "delta": {"content": text}}], **members})


USAGE_CHUNK = event(
    {"id": "x", "choices": [], "usage": {**USAGE, "details": {"a": 1}, "cost": 0.05}}
)
OF_ANTHROPIC = event(
    {"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}}
)


def facts_of(body: bytes, *, size: int = 1000, **headers: str) -> dict[str, Any]:
    """Return what is noted of a whole answer that comes in pieces of a size."""
    facts: dict[str, Any] = {}
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    observer = BodyObserver(facts, fields)
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        assert observer.feed(piece) == piece
    observer.finish()
    return facts


def stream_of(
    body: bytes, *, size: int = 1000, drops_usage: bool = False, tells_cost: bool = True
) -> tuple[dict[str, Any], bytes]:
    """Return what is noted of a stream, and what its caller gets."""
    facts: dict[str, Any] = {}
    observer = StreamObserver(facts, drops_usage=drops_usage, tells_cost=tells_cost)
    aligner = FrameAligner()
    seen = b""
    for start in range(0, len(body), size):
        if frames := aligner.feed(body[start : start + size]):
            seen += observer.feed(frames)
    seen += observer.feed(aligner.rest())
    observer.finish()
    return facts, seen


@given(st.integers(1, 300))
def test_reads_a_whole_answer_in_any_pieces(size: int) -> None:
    body = orjson.dumps({"id": "x", "choices": [{"message": {"content": "hi"}}], "usage": USAGE})
    assert facts_of(body, size=size) == FACTS


def test_reads_the_usage_of_a_large_answer_at_its_end() -> None:
    body = orjson.dumps({"data": [{"b64_json": "A" * 2_000_000}], "usage": USAGE})
    assert facts_of(body, size=64 * 1024) == FACTS


def test_reads_the_usage_of_a_large_anthropic_answer_at_its_start() -> None:
    usage = {"input_tokens": 10, "output_tokens": 20}
    body = orjson.dumps({"id": "x", "usage": usage, "content": [{"text": "A" * 100_000}]})
    assert facts_of(body) == FACTS


def test_counts_what_anthropic_has_cached_as_part_of_the_prompt() -> None:
    usage = {
        "input_tokens": 4,
        "cache_creation_input_tokens": 1,
        "cache_read_input_tokens": 5,
        "output_tokens": 20,
    }
    assert facts_of(orjson.dumps({"usage": usage})) == FACTS
    assert stream_of(event({"message": {"usage": usage}}))[0] == FACTS


def test_is_not_fooled_by_what_a_model_hands_to_a_tool() -> None:
    tool = {"input": {"usage": {"input_tokens": 999, "output_tokens": 999}}}
    usage = {"input_tokens": 10, "output_tokens": 20}
    assert facts_of(orjson.dumps({"usage": usage, "content": [tool]})) == FACTS


def test_is_not_fooled_by_a_text_that_quotes_usage() -> None:
    quoted = '"usage": {"prompt_tokens": 999, "completion_tokens": 999}'
    assert facts_of(orjson.dumps({"choices": [{"message": {"content": quoted}}]})) == {}
    assert stream_of(said(quoted), drops_usage=True) == ({}, said(quoted))


def test_takes_the_cost_of_a_whole_answer_from_its_header() -> None:
    assert facts_of(b"ID3", x_litellm_response_cost="0.05") == {"cost": 0.05}


@pytest.mark.parametrize("cost", ["", "None", "nan", "inf", "1e8", "-0.01"])
def test_does_not_know_a_cost_that_is_not_told(cost: str) -> None:
    assert facts_of(b"ID3", x_litellm_response_cost=cost) == {}


@pytest.mark.parametrize("cost", [0, 1e300])
def test_is_not_fooled_by_a_cost_that_a_response_repeats_of_its_request(cost: float) -> None:
    tools = [{"parameters": {"properties": {"usage": {"cost": cost}}}}]
    usage = {"input_tokens": 10, "output_tokens": 20}
    body = event({"type": "response.created", "response": {"tools": tools, "usage": None}})
    body += event({"type": "response.completed", "response": {"tools": tools, "usage": usage}})
    assert stream_of(body, tells_cost=False) == (FACTS, body)
    assert facts_of(orjson.dumps({"output": ["A" * 100_000], "tools": tools, "usage": usage})) == (
        FACTS
    )


@pytest.mark.parametrize("cost", [True, "0.05", -0.01, 1e8, 1e300])
def test_notes_no_cost_that_can_not_be_stored(cost: Any) -> None:
    chunk = event({"choices": [], "usage": {**USAGE, "cost": cost}})
    assert stream_of(chunk)[0] == FACTS


@given(st.binary(max_size=200))
def test_takes_any_bytes(noise: bytes) -> None:
    facts_of(noise + b'"usage":{' + noise)
    stream_of(noise + b'\n\ndata: {"usage":{' + noise, drops_usage=True)


@given(st.integers(1, 300))
def test_reads_the_usage_chunk_of_a_stream(size: int) -> None:
    body = said("tok ") * 20 + USAGE_CHUNK + DONE
    assert stream_of(body, size=size) == (TOLD, body)


@given(st.integers(1, 300))
def test_takes_out_the_usage_chunk_that_nobody_asked_for(size: int) -> None:
    around = (said("tok ") * 5, DONE)
    noted, seen = stream_of(USAGE_CHUNK.join(around), size=size, drops_usage=True)
    assert noted == TOLD
    assert seen == b"".join(around)


def test_takes_out_the_usage_that_a_chunk_has_beside_its_text() -> None:
    body = said("a", usage=None) + said("b", usage=USAGE) + DONE
    assert stream_of(body, drops_usage=True) == (FACTS, said("a") + said("b") + DONE)


def test_leaves_a_chunk_without_choices_that_tells_no_usage() -> None:
    body = event({"choices": [], "prompt_filter_results": [], "usage": None})
    without = event({"choices": [], "prompt_filter_results": []})
    assert stream_of(body, drops_usage=True)[1] == without


def test_reads_the_usage_in_the_last_event_of_a_response() -> None:
    usage = {"input_tokens": 10, "output_tokens": 20}
    body = event({"type": "response.created", "response": {"usage": None, "error": None}})
    body += event({"type": "response.completed", "response": {"output": ["A"], "usage": usage}})
    assert stream_of(body) == (FACTS, body)


def test_adds_up_an_anthropic_stream_from_both_its_ends() -> None:
    body = OF_ANTHROPIC + event({"delta": {"text": "A" * 100}}) * 1000
    body += event({"type": "message_delta", "usage": {"output_tokens": 20}})
    assert stream_of(body)[0] == FACTS


def test_knows_what_was_told_before_the_caller_left() -> None:
    assert stream_of(OF_ANTHROPIC)[0] == {"tokens_in": 10, "tokens_out": 1}


FAILURE = b'{"error":{"message":"litellm.X: at http://10.0.0.3","code":"500"}}\n\n'
FAILURES = [b"data: " + FAILURE, FAILURE, b'event: error\ndata: {"type":"error","error":{}}\n\n']


@pytest.mark.parametrize("failure", FAILURES)
@given(size=st.integers(1, 100), before=st.integers(0, 3))
def test_ends_a_stream_that_says_it_has_failed(failure: bytes, size: int, before: int) -> None:
    with pytest.raises(AnswerFailed) as caught:
        stream_of(said("tok ") * before + failure + DONE, size=size)
    assert isinstance(caught.value.error, ProviderInterrupted)
    assert not caught.value.error.is_outage


@pytest.mark.parametrize("failure", FAILURES)
def test_hands_on_what_came_before_the_failure(failure: bytes) -> None:
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    with pytest.raises(AnswerFailed) as caught:
        stream_of(said("tok ") + last + USAGE_CHUNK + failure + DONE, size=9999, drops_usage=True)
    assert caught.value.before == said("tok ") + last


def test_does_not_end_a_stream_that_speaks_of_failure() -> None:
    body = said('\n\ndata: {"error": 1}\nevent: error\n"error"')
    assert stream_of(body, size=7)[1] == body
