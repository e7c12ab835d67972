from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import access, context
from gateway_core.context import RequestRecord
from gateway_core.errors import RequestMalformed
from gateway_core.proxy.exchange import AnswerFailed
from gateway_core.sse import FrameAligner
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
    observer, aligner = StreamObserver(record), FrameAligner()
    for piece in pieces:
        if frames := aligner.feed(piece):
            assert observer.feed(frames) == frames
    observer.feed(aligner.rest())
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
    [
        ("llm_rate_limit", "upstream_overloaded"),
        ("llm_authentication", "upstream_credential_rejected"),
        ("llm_context_window_exceeded", "caller_context_too_long"),
        ("internal_error", "upstream_failed"),
    ],
)
def test_ends_at_an_error_in_the_stream(kind: str, code: str) -> None:
    with pytest.raises(AnswerFailed) as caught:
        observed(PING, ERROR.replace(b"llm_rate_limit", kind.encode()), DONE)

    assert caught.value.error.code == code


@given(cut=st.integers(1, len(ERROR) - 1))
def test_ends_at_an_error_wherever_it_is_cut(cut: int) -> None:
    with pytest.raises(AnswerFailed):
        observed(PING + ERROR[:cut], ERROR[cut:])


@pytest.mark.parametrize(
    "frame",
    [
        b'event: error\ndata: {"message_type": "error_message", "detail": "x' + b"x" * 300_000,
        b'data: {"message_type":"error_message","error_type":"internal_error","detail":"x"}\n\n',
        b'data: {"error":"Stream failed: secret"}\n\n',
        b'event: error\ndata: {"message_type":"error_message","detail":"x"}',
    ],
    ids=["endless", "without event", "of chat completions", "without end"],
)
def test_ends_at_an_error_of_any_form(frame: bytes) -> None:
    with pytest.raises(AnswerFailed) as caught:
        observed(PING + frame)

    assert caught.value.error.code == "upstream_failed"


def test_tells_a_window_that_is_too_small() -> None:
    frame = (
        b'event: error\ndata: {"message_type":"error_message","error_type":"internal_error",'
        b'"message":"x","detail":"CONTEXT_WINDOW_EXCEEDED: Bad request"}\n\n'
    )
    with pytest.raises(AnswerFailed, match="context window") as caught:
        observed(frame)

    assert isinstance(caught.value.error, RequestMalformed)


def test_counts_and_hands_on_what_came_before_an_error() -> None:
    record = context.begin({"method": "POST", "path": "/x", "headers": []})

    with pytest.raises(AnswerFailed) as caught:
        StreamObserver(record).feed(USAGE + ERROR)

    assert record.facts == TOKENS
    assert caught.value.before == USAGE


def test_takes_words_for_words() -> None:
    said = b'data: {"id":"m","content":"\\nevent: error\\ndata: {\\"error\\": 1}"}\n\n'

    assert observed(said, said).error_code == ""


def test_knows_the_run() -> None:
    observer = StreamObserver(context.begin({"method": "POST", "path": "/x", "headers": []}))

    observer.feed(SAID)
    observer.feed(PING)

    assert observer.run_id == "run-1"


def test_keeps_what_the_provider_said_from_the_caller(alice: Caller) -> None:
    agent_id = alice.create_agent()["id"]

    answer = alice("POST", f"/agents/{agent_id}/messages/stream", json={"input": "ERR:401"})
    (run,) = alice.get(f"/runs/?agent_id={agent_id}")

    *_, error = answer.text.rstrip().split("\n\n")
    assert error.startswith("event: error\ndata: {")
    assert "upstream_credential_rejected" in error
    for shown in (answer.text, str(run), str(alice.get(f"/runs/{run['id']}"))):
        assert "Error code" not in shown
        assert "OpenAI" not in shown


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

    _, answer, stream = (record for record in ended if record.route == "letta")
    assert answer.facts["tokens_out"] == stream.facts["tokens_out"] == 10
    assert answer.facts["tokens_in"] > 0
