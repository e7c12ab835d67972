"""A turn in progress: its record of frames, which any number of readers follow.

A turn does not depend on its readers: when they leave, it goes on to its end, as on the real
server.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import messages
from gateway_project.sandbox.letta.ids import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_project.sandbox.letta.problems import ProblemError
    from gateway_project.sandbox.letta.store import Actor, Row

# What a run's metadata calls the way in which it was sent.
PLAIN: Final = "send_message"
STREAMING: Final = "send_message_streaming"
ASYNC: Final = "send_message_async"
CONVERSATION: Final = "send_conversation_message"
DONE: Final = b"data: [DONE]\n\n"
# Written without the compact separators, as the real server does in this one place.
CANCELLED: Final = b'data: {"message_type": "stop_reason", "stop_reason": "cancelled"}\n\n'


def frame(body: dict[str, Any]) -> bytes:
    """Return an object as one server-sent event."""
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


class FrameLog:
    """Frames in the order in which they were sent; the n-th has sequence number n."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = False
        self._changed = asyncio.Event()

    @property
    def next_number(self) -> int:
        """The sequence number of the frame that comes next."""
        return len(self.frames) + 1

    def append(self, data: bytes) -> None:
        """Add a frame, unless the log is closed."""
        if not self.closed:
            self.frames.append(data)
            self._wake()

    def close(self) -> None:
        """Let the readers end after the last frame."""
        self.closed = True
        self._wake()

    async def follow(
        self, *, after: int, keepalive: bytes, keepalive_seconds: float
    ) -> AsyncIterator[bytes]:
        """Yield the frames with a number over ``after``, and a keep-alive when there is none."""
        position = after
        while True:
            changed = self._changed
            for data in self.frames[position:]:
                yield data
                position += 1
            if self.closed and position >= len(self.frames):
                return
            try:
                async with asyncio.timeout(keepalive_seconds):
                    await changed.wait()
            except TimeoutError:
                yield keepalive

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(slots=True)
class Usage:
    """Tokens of a turn. Cached and reasoning tokens are null when the model streamed."""

    completion_tokens: int = 0
    prompt_tokens: int = 0
    step_count: int = 0
    context_tokens: int = 0
    detailed: bool = True

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count one answer of the model."""
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.context_tokens = prompt_tokens + completion_tokens

    def as_message(self) -> Row:
        """Return the message that ends a turn."""
        detail = 0 if self.detailed else None
        return {
            "message_type": "usage_statistics",
            "completion_tokens": self.completion_tokens,
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.completion_tokens + self.prompt_tokens,
            "step_count": self.step_count,
            "run_ids": None,
            "cached_input_tokens": detail,
            "cache_write_tokens": detail,
            "reasoning_tokens": detail,
            "context_tokens": self.context_tokens,
        }


@dataclass(slots=True)
class Turn:
    """One run of an agent.

    Attributes:
        context_ids: the messages that the model sees, in the agent's or conversation's own list.
        stream_tokens: whether readers get words as they come, or whole messages.
        streaming: whether there are readers at all.
        background: whether readers may come back later, by sequence number.
        active: whether the turn is neither at its end nor cancelled.
        decision: an answer to the tool call that waits for one.
        received: what was sent to the agent.
        produced: what the agent said and did, in order.
        failure: why the turn failed.
    """

    agent: Row
    actor: Actor
    run: Row
    conversation_id: str | None
    context_ids: list[str]
    streaming: bool = False
    stream_tokens: bool = False
    include_pings: bool = True
    max_steps: int = 50
    log: FrameLog = field(default_factory=FrameLog)
    active: bool = True
    began_ns: int = field(default_factory=time.monotonic_ns)
    decision: Row | None = None
    received: list[Row] = field(default_factory=list)
    produced: list[Row] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    stop_reason: str = "end_turn"
    failure: ProblemError | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def background(self) -> bool:
        """Whether the turn was asked for in the background."""
        return bool(self.run["background"])

    @property
    def recorded(self) -> bool:
        """Whether the run gets an outcome.

        As the real server: not where a caller waits for one in a conversation.
        """
        return self.streaming or self.run["metadata"]["run_type"] != CONVERSATION

    def send(self, body: Row) -> None:
        """Give readers a message, with its sequence number when they may come back."""
        if "seq_id" in body and self.background:
            body = body | {"seq_id": self.log.next_number}
        self.log.append(frame(body))

    def begin(self) -> None:
        """Note that the turn runs, and give readers the ping that opens a stream."""
        if self.recorded:
            self.run["status"] = "running"
        if self.include_pings:
            self.send(messages.ping(self.run["id"]))

    def cancel(self) -> None:
        """Tell readers at once. The model's answer is still drained, as on the real server."""
        if not self.active:
            return
        self.end("cancelled", stop_reason="cancelled")
        self.log.append(CANCELLED)
        if self.background:
            self.log.append(DONE)
        self.log.close()
        self.finished.set()

    def end(self, status: str, *, stop_reason: str) -> None:
        """Write the outcome into the run and its agent."""
        self.stop_reason = stop_reason
        self.active = False
        if not self.recorded:
            return
        self.agent["last_stop_reason"] = stop_reason
        self.run |= {
            "status": status,
            "stop_reason": stop_reason,
            "completed_at": now().removesuffix("Z"),
            "total_duration_ns": time.monotonic_ns() - self.began_ns,
        }


class Turns:
    """The turns of this process: active ones, and finished ones that can still be followed."""

    _KEPT: Final = 500

    def __init__(self) -> None:
        self._by_run: dict[str, Turn] = {}

    def clear(self) -> None:
        """Cancel and forget all."""
        for turn in self._by_run.values():
            turn.cancel()
        self._by_run.clear()

    def add(self, turn: Turn) -> None:
        """Hold a turn; the oldest finished ones are dropped."""
        self._by_run[turn.run["id"]] = turn
        surplus = len(self._by_run) - self._KEPT
        for run_id in [i for i, t in self._by_run.items() if not t.active][: max(0, surplus)]:
            del self._by_run[run_id]

    def get(self, run_id: str) -> Turn | None:
        """Return the turn of a run, if it is still held."""
        return self._by_run.get(run_id)

    def last_of_agent(self, agent_id: str) -> Turn | None:
        """Return the newest turn of an agent, of any organization, unless sent ``async``."""
        turns = (t for t in self._newest() if t.agent["id"] == agent_id)
        return next((t for t in turns if t.run["metadata"]["run_type"] != ASYNC), None)

    def of_conversation(self, conversation_id: str) -> list[Turn]:
        """Return the turns of a conversation, newest first."""
        return [t for t in self._newest() if t.conversation_id == conversation_id]

    def _newest(self) -> list[Turn]:
        return list(reversed(self._by_run.values()))
