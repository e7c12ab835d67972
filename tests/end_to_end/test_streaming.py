"""Streams arrive as they are made, and end upstream when their reader leaves."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.models import say
from tests.end_to_end.upstream_views import eventually

if TYPE_CHECKING:
    import httpx
    from letta_client.types import AgentState

    from tests.end_to_end.tcp_relay import TcpRelay
    from tests.end_to_end.upstream_views import StubLog

CHAT = "/api/v1/llm/v1/chat/completions"
WITHIN_SECONDS = 1.0


def chat_body(mark: str, *, chunks: int, milliseconds: int) -> dict[str, object]:
    model = f"stub/s-n{chunks}-d{milliseconds}"
    return {"model": model, "messages": say(mark), "stream": True}


def letta_body(chunks: int, seconds: float) -> dict[str, object]:
    return {"messages": say(f"SLOW:{chunks}:{seconds}"), "stream_tokens": True}


def arrivals(lines: httpx.Response) -> list[float]:
    return [time.monotonic() for line in lines.iter_lines() if line.startswith("data:")]


def test_hands_chat_events_on_one_by_one(alice_http: httpx.Client, mark: str) -> None:
    body = chat_body(mark, chunks=20, milliseconds=50)
    with alice_http.stream("POST", CHAT, json=body) as answer:
        times = arrivals(answer)

    assert len(times) >= 20
    assert times[-1] - times[0] > 0.8
    assert max(later - earlier for earlier, later in pairwise(times)) < 0.5


def test_hands_agent_events_on_one_by_one(alice_http: httpx.Client, agent: AgentState) -> None:
    path = f"/api/v1/letta/v1/agents/{agent.id}/messages/stream"
    with alice_http.stream("POST", path, json=letta_body(20, 0.05)) as answer:
        times = arrivals(answer)

    assert len(times) >= 20
    assert times[-1] - times[0] > 0.8


@pytest.mark.parametrize("upstream", ["litellm", "letta"])
def test_tells_proxies_not_to_buffer(
    alice_http: httpx.Client, agent: AgentState, mark: str, upstream: str
) -> None:
    path, body = CHAT, chat_body(mark, chunks=2, milliseconds=0)
    if upstream == "letta":
        path, body = f"/api/v1/letta/agents/{agent.id}/messages/stream", letta_body(2, 0)
    with alice_http.stream("POST", path, json=body) as answer:
        headers = answer.headers

    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-accel-buffering"] == "no"
    assert "no-cache" in headers["cache-control"]


def test_ends_the_model_call_when_the_reader_leaves(
    alice_http: httpx.Client, fast_stub: StubLog, mark: str
) -> None:
    body = chat_body(mark, chunks=200, milliseconds=50)
    with alice_http.stream("POST", CHAT, json=body) as answer:
        next(answer.iter_raw())
    left = time.time()

    entry = eventually(lambda: fast_stub.find(mark), lambda entry: "cut" in entry, seconds=5)
    assert entry["cut"]["time"] - left < WITHIN_SECONDS


def test_closes_the_connection_to_letta_when_the_reader_leaves(
    alice_http: httpx.Client, agent: AgentState, way_to_letta: TcpRelay
) -> None:
    path = f"/api/v1/letta/v1/agents/{agent.id}/messages/stream"
    with alice_http.stream("POST", path, json=letta_body(100, 0.1)) as answer:
        pieces = answer.iter_raw()  # dropped, it would close the connection
        next(pieces)
        during = way_to_letta.closed_connections
    # Another may open: the gateway tells Letta to cancel the run.
    after = eventually(
        lambda: way_to_letta.closed_connections, lambda count: count > during, seconds=5
    )

    assert after > during
