"""Answers to messages: the whole result at once, or the frames as they come."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from gateway_project.sandbox.letta import messages
from gateway_project.sandbox.letta.turns import DONE, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_project.sandbox.letta.store import Row
    from gateway_project.sandbox.letta.turns import Turn
    from gateway_project.sandbox.letta.world import World


async def result(turn: Turn) -> Row:
    """Wait for a turn and return what it produced.

    Raises:
        ProblemError: the turn failed.
    """
    await turn.finished.wait()
    if turn.failure:
        raise turn.failure
    return {
        "messages": turn.produced,
        "stop_reason": {"message_type": "stop_reason", "stop_reason": turn.stop_reason},
        "usage": turn.usage.as_message(),
        "logprobs": None,
        "turns": None,
    }


def follow(
    world: World, turn: Turn, *, after: int = 0, openai_model: str | None = None
) -> StreamingResponse:
    """Return a stream of a turn's frames.

    It has neither ``cache-control`` nor ``x-accel-buffering``, as the real server's has not.

    Args:
        world: the stand-in.
        turn: whose frames.
        after: the sequence number of the last frame that the reader has.
        openai_model: translate into chat completion chunks of this model.
    """
    frames = turn.log.follow(
        after=after,
        keepalive=frame(messages.ping(turn.run["id"])),
        keepalive_seconds=world.keepalive_seconds,
    )
    if openai_model:
        frames = _as_openai(frames, turn, openai_model)
    return StreamingResponse(frames, media_type="text/event-stream")


async def _as_openai(frames: AsyncIterator[bytes], turn: Turn, model: str) -> AsyncIterator[bytes]:
    role: str | None = "assistant"
    async for data in frames:
        body = _body(data)
        if body.get("message_type") == "assistant_message":
            yield _chunk(turn, model, {"content": body["content"], "role": role}, None)
            role = None
        elif body.get("message_type") == "stop_reason":
            yield _chunk(turn, model, {"content": None, "role": None}, "stop")
    yield DONE


def _body(data: bytes) -> dict[str, Any]:
    text = data.decode().partition("data: ")[2].strip()
    body: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
    return body


def _chunk(turn: Turn, model: str, delta: Row, finish_reason: str | None) -> bytes:
    choice = {
        "delta": {"function_call": None, "refusal": None, "tool_calls": None, **delta},
        "finish_reason": finish_reason,
        "index": 0,
        "logprobs": None,
    }
    return frame(
        {
            "id": f"chatcmpl-{turn.run['id']}",
            "choices": [choice],
            "created": int(time.time()),
            "model": model,
            "object": "chat.completion.chunk",
            "service_tier": None,
            "system_fingerprint": None,
            "usage": None,
        }
    )
