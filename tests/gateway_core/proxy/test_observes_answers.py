"""What the watcher of an answer sees of it, and what it does to what the caller gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway_core.errors import UpstreamInterrupted
from gateway_core.proxy.exchange import AnswerFailed
from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk, reply

if TYPE_CHECKING:
    from tests.gateway_core.proxy.loopback import Answer, Gateway, Knobs, Upstream

SECRET = b"data: secret\n\n"
FAILURE = b"data: failed at 10.0.0.3\n\n"


class Watcher:
    """Takes SECRET out and ends the stream at FAILURE."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.is_finished = False

    def feed(self, piece: bytes) -> bytes:
        self.seen.append(piece)
        before, failure, _ = piece.partition(FAILURE)
        if failure:
            raise AnswerFailed(UpstreamInterrupted(), before)
        return piece.replace(SECRET, b"")

    def finish(self) -> None:
        self.is_finished = True


def stream(*pieces: bytes) -> Answer:
    async def answer(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for piece in pieces:
            writer.write(chunk(piece))
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.write(b"0\r\n\r\n")

    return answer


async def test_shows_the_watcher_whole_frames(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    watcher = knobs.hooks["observe"] = Watcher()
    upstream.answer = stream(b"data: 1", b"\n", b"\ndata: 2\n\nda", b"ta: 3\n\ndata: 4")

    answer = await gateway.client.post("/api/v1/test/say", json={})

    assert b"".join(watcher.seen) == answer.content == b"data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4"
    assert all(seen.endswith(b"\n\n") for seen in watcher.seen[:-1])
    assert watcher.is_finished


async def test_hands_on_what_the_watcher_leaves(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    knobs.hooks["observe"] = Watcher()
    upstream.answer = stream(b"data: 1\n\n" + SECRET[:5], SECRET[5:], b"data: [DONE]\n\n")

    answer = await gateway.client.post("/api/v1/test/say", json={})

    assert answer.content == b"data: 1\n\ndata: [DONE]\n\n"


async def test_sends_what_came_before_a_failure_in_the_same_piece(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    knobs.hooks["observe"] = Watcher()
    upstream.answer = stream(b"data: 1\n\ndata: stop\n\n" + FAILURE + b"data: [DONE]\n\n")

    answer = await gateway.client.post("/api/v1/test/say", json={})

    assert answer.content.startswith(b"data: 1\n\ndata: stop\n\nevent: error\ndata: {")
    assert b"10.0.0.3" not in answer.content
    assert b"[DONE]" not in answer.content


async def test_ends_at_a_failure_that_is_the_last_thing_and_has_no_end(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    knobs.hooks["observe"] = Watcher()
    upstream.answer = stream(b"data: 1\n\n" + FAILURE + b"data: 2")

    answer = await gateway.client.post("/api/v1/test/say", json={})

    assert b"upstream_interrupted" in answer.content


async def test_leaves_any_other_body_as_it_is(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    watcher = knobs.hooks["observe"] = Watcher()
    upstream.answer = reply(200, SECRET, "text/plain")

    answer = await gateway.client.post("/api/v1/test/say", json={})

    assert b"".join(watcher.seen) == answer.content == SECRET
