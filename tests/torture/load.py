"""Sends requests until so many were answered, and writes down each answer.

    python -m tests.torture.load < JSON

The JSON on standard input: ``url``, ``tokens``, ``requests``, ``connections``, ``seconds`` (at the
most), ``output`` (a file: ``<request id> <status>`` for each request that was answered to its last
byte, in order).
"""

from __future__ import annotations

import asyncio
import http
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO

import aiohttp

_CHAT: Final = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "hello"}]}
_CALLS: Final[tuple[tuple[str, str, Any], ...]] = (
    *([("POST", "/api/v1/llm/chat/completions", _CHAT)] * 5),
    ("POST", "/api/v1/llm/chat/completions", {**_CHAT, "stream": True}),
    ("GET", "/api/v1/llm/models", None),
    ("GET", "/api/v1/letta/agents/", None),
    ("GET", "/api/v1/me", None),
    ("GET", "/api/v1/letta/agents/agent-00000000-0000-4000-8000-000000000000", None),
)
_PAUSE_SECONDS: Final = 0.05
# Otherwise most of the load would be spent on the outage, where an answer is made quickly.
_UNAVAILABLE_SECONDS: Final = 0.5


class Load:
    """The state of one run."""

    def __init__(self, wish: dict[str, Any], output: TextIO) -> None:
        self._wish = wish
        self._output = output
        self._numbers = itertools.count()
        self._deadline = time.monotonic() + wish["seconds"]
        self.answered = 0
        self.broken = 0

    async def run(self) -> None:
        """Send until enough was answered or the time is over."""
        timeout = aiohttp.ClientTimeout(total=60)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(
                self._wish["url"], timeout=timeout, connector=connector
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._wish["connections"]):
                group.create_task(self._send_many(session))

    async def _send_many(self, session: aiohttp.ClientSession) -> None:
        while self.answered < self._wish["requests"] and time.monotonic() < self._deadline:
            number = next(self._numbers)
            try:
                status = await self._send(session, number)
            except (aiohttp.ClientError, TimeoutError):
                self.broken += 1
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self.answered += 1
            self._output.write(f"torture-{number:08} {status}\n")
            self._output.flush()
            if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
                await asyncio.sleep(_UNAVAILABLE_SECONDS)

    async def _send(self, session: aiohttp.ClientSession, number: int) -> int:
        """Return the status of an answer that has come to its end."""
        method, path, body = _CALLS[number % len(_CALLS)]
        tokens = self._wish["tokens"]
        headers = {
            "authorization": f"Bearer {tokens[number % len(tokens)]}",
            "x-request-id": f"torture-{number:08}",
        }
        async with session.request(method, path, json=body, headers=headers) as answer:
            await answer.read()
            return answer.status


def main() -> None:
    """Read the wish, send, print ``{"answered": …, "broken": …}``."""
    wish = json.load(sys.stdin)
    with Path(wish["output"]).open("w", encoding="utf-8") as output:
        load = Load(wish, output)
        asyncio.run(load.run())
    sys.stdout.write(json.dumps({"answered": load.answered, "broken": load.broken}))


if __name__ == "__main__":
    main()
