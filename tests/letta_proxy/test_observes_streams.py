from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import access, context
from gateway_core.context import RequestRecord
from letta_proxy.observe import StreamObserver
from tests.letta_proxy.conftest import Caller

PING = b'data: {"message_type":"ping","run_id":"run-1"}\n\n'
SAID = b'data: {"message_type":"assistant_message","content":"\\"usage_statistics\\""}\n\n'
USAGE = (
    b'data: {"message_type":"usage_statistics","completion_tokens":10,"prompt_tokens":20,'
    b'"total_tokens":30,"step_count":1}\n\n'
)
ERROR = (
    b'event: error\ndata: {"message_type":"error_message","run_id":"run-1",'
    b'"error_type":"llm_rate_limit","message":"slow down"}\n\n'
)
DONE = b"data: [DONE]\n\n"
TOKENS = {"tokens_in": 20, "tokens_out": 10}


def observed(*pieces: bytes) -> RequestRecord:
    record = context.begin({"method": "POST", "path": "/x", "headers": []})
    observer = StreamObserver(record)
    for piece in pieces:
        observer.feed(piece)
    observer.finish()
    return record


@given(cuts=st.lists(st.integers(0, len(PING + SAID + USAGE + DONE)), max_size=8))
def test_finds_the_usage_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    stream = PING + SAID + USAGE + DONE
    edges = [0, *sorted(cuts), len(stream)]

    record = observed(*(stream[a:b] for a, b in pairwise(edges)))

    assert record.facts == TOKENS
    assert record.error_code == ""


def test_finds_a_usage_that_ends_without_a_blank_line() -> None:
    assert observed(PING, USAGE.rstrip()).facts == TOKENS


@pytest.mark.parametrize(
    ("kind", "code"),
    [("llm_rate_limit", "upstream_overloaded"), ("internal_error", "upstream_failed")],
)
def test_notes_an_error_in_the_stream(kind: str, code: str) -> None:
    assert observed(ERROR.replace(b"llm_rate_limit", kind.encode())).error_code == code


def test_survives_frames_that_are_no_json() -> None:
    assert observed(b'data: {"usage_statistics"\n\n', b'data: "error_message"\n\n').facts == {}


def test_counts_the_tokens_of_stream_and_answer(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[RequestRecord] = []
    monkeypatch.setattr(access, "sinks", [ended.append])
    agent_id = alice.create_agent()["id"]

    alice.say(agent_id)
    alice("POST", f"/agents/{agent_id}/messages/stream", json={"input": "hi"}).raise_for_status()

    _, answer, stream = ended
    assert answer.facts["tokens_out"] == stream.facts["tokens_out"] == 10
    assert answer.facts["tokens_in"] > 0
