"""Requests and streams without a pause, and how each of them ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import aiohttp

from tests.torture.balancer import CLOSED

_PAUSE_SECONDS: Final = 0.02
_WHOLE: Final = "whole"
_CHAT: Final = "/api/v1/llm/v1/chat/completions"
# Names of kinds, with models whose answers take about three seconds, or no time.
_CALLS: Final[tuple[tuple[str, str, str, Any], ...]] = (
    ("streams", "POST", _CHAT, {"model": "stub/s-n60-d50", "stream": True}),
    ("model calls", "POST", _CHAT, {"model": "stub/s-n1"}),
    ("model calls", "POST", _CHAT, {"model": "stub/s-n1"}),
    ("reads of the control plane", "GET", "/api/v1/me", None),
    ("lists of agents", "GET", "/api/v1/letta/agents/", None),
)
_UNANSWERED: Final = "unanswered"
_MESSAGES: Final = {"messages": [{"role": "user", "content": "hello"}]}


class Load:
    """Requests without a pause, counted by kind and end."""

    def __init__(self, url: str, tokens: list[str]) -> None:
        self._url = url
        self._tokens = tokens
        self._is_over = False
        self._number = 0
        # The id of a request that was answered.
        self.answered = ""
        self.ends: Counter[tuple[str, str]] = Counter()
        # Ids of requests that were not answered with a byte, on connections used before.
        self.unanswered: dict[str, str] = {}

    async def run(self, connections: int) -> None:
        """Send until ``end``, and return when all is answered."""
        async with (
            aiohttp.ClientSession(
                self._url,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=60),
                trace_configs=[_reuse_noted()],
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(connections):
                group.create_task(self._send_many(session))

    def end(self) -> None:
        """Send no more."""
        self._is_over = True

    async def _send_many(self, session: aiohttp.ClientSession) -> None:
        while not self._is_over:
            self._number += 1
            kind, method, path, body = _CALLS[self._number % len(_CALLS)]
            token = self._tokens[self._number % len(self._tokens)]
            sent = Sent(f"rolling-{uuid4().hex}")
            try:
                end = await _send(session, method, path, body, token, sent)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as exc:
                end = _UNANSWERED if sent.is_unanswered else type(exc).__name__
            except (aiohttp.ClientError, TimeoutError) as exc:
                end = type(exc).__name__
            if end == _WHOLE:
                self.answered = sent.request_id
            if end == _UNANSWERED:
                self.unanswered[sent.request_id] = kind
            else:
                self.ends[kind, end] += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    def judge(self, logs: str) -> int:
        """Count as lost what a replica has taken and not answered; return how much none has taken.

        Raises:
            RuntimeError: these are not the logs of this load.
        """
        if self.answered not in logs:
            raise RuntimeError("The replicas' logs don't have what they have answered.")
        lost = {name: kind for name, kind in self.unanswered.items() if name in logs}
        self.ends.update((kind, "taken and not answered") for kind in lost.values())
        return len(self.unanswered) - len(lost)


@dataclass(slots=True)
class Sent:
    """What is known of a request."""

    request_id: str
    is_reused: bool = False
    has_begun: bool = False

    @property
    def is_unanswered(self) -> bool:
        """Whether not a byte has come back, on a connection that was used before."""
        return self.is_reused and not self.has_begun


def _reuse_noted() -> aiohttp.TraceConfig:
    """Return what notes down of each request that its connection was used before."""

    async def note(_session: Any, context: Any, _parameters: Any) -> None:
        context.trace_request_ctx.is_reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note)
    return trace


async def _send(  # noqa: PLR0917 - each is of the request
    session: aiohttp.ClientSession, method: str, path: str, body: Any, token: str, sent: Sent
) -> str:
    """Return how it ended: ``whole``, or what was wrong."""
    payload = None if body is None else {**body, **_MESSAGES}
    headers = {"authorization": f"Bearer {token}", "x-request-id": sent.request_id}
    async with session.request(
        method, path, json=payload, headers=headers, trace_request_ctx=sent
    ) as answer:
        sent.has_begun = True
        content = await answer.read()
        if CLOSED in answer.headers:
            return _UNANSWERED
        if answer.status != 200:
            return f"status {answer.status}"
        is_stream = bool(body and body.get("stream"))
        if is_stream and not content.endswith(b"data: [DONE]\n\n"):
            return "a stream without its end"
        return _WHOLE
