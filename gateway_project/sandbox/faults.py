"""Faults on command and a log of requests, the same for every stand-in.

``Faults`` wraps a stand-in's ASGI application and adds these controls:

- ``POST /_sandbox/fault`` with a JSON object, all members but ``path`` optional::

    {"path": "^/v1/agents",    # regular expression, searched in the path
     "method": "POST",         # any method without it
     "times": 1,               # requests it hits; without it, all until it is removed
     "delay": 0.5,             # seconds to wait before the answer (before passing on, too)
     "status": 503,            # answer this instead of passing the request on
     "body": {"any": "json"},  # with this JSON body
     "headers": {"retry-after": "7"},
     "garbage": true,          # answer 200, application/json, with a body that is not JSON
     "cut_after": 0}           # pass on, then drop the connection after so many body bytes;
                               # 0 drops it before the first byte of the answer

  The first fault that matches applies. ``DELETE /_sandbox/fault`` removes all.
- ``GET /_sandbox/requests`` lists what arrived since the last ``DELETE`` of the same path, oldest
  first: ``method, path, query, headers, body`` (text, at most 64 KiB), ``body_bytes``,
  ``body_sha256``, ``status``, ``seconds`` (null while it runs) and ``client_left`` (the caller
  closed the connection before the answer was complete). Credentials stand in it as they came.
- ``POST /_sandbox/reset`` removes faults and log and calls the stand-in's own ``reset``.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX: Final = "/_sandbox"
_LOGGED_REQUESTS: Final = 1000
_LOGGED_BODY_BYTES: Final = 64 * 1024
_CONTROLS: Final = frozenset({f"{PREFIX}/fault", f"{PREFIX}/requests", f"{PREFIX}/reset"})


@dataclass(slots=True)
class Fault:
    """One thing to go wrong; the module's docstring explains the members."""

    path: re.Pattern[str]
    method: str | None = None
    times: int | None = None
    delay: float = 0.0
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    garbage: bool = False
    cut_after: int | None = None

    def hits(self, scope: Scope) -> bool:
        """Say whether this request gets the fault, and count it."""
        if self.times == 0 or self.method not in {None, scope["method"]}:
            return False
        if not self.path.search(scope["path"]):
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def answer(self) -> Response | None:
        """Return the answer that replaces the stand-in's, if any."""
        if self.garbage:
            return Response(b'{"half": <<<', media_type="application/json", headers=self.headers)
        if self.status is None:
            return None
        body = {"error": "fault"} if self.body is None else self.body
        return JSONResponse(body, self.status, headers=self.headers)


@dataclass(slots=True)
class Exchange:
    """One request as it came, and how it ended."""

    scope: Scope
    cycle: Any
    began: float = field(default_factory=time.monotonic)
    body: bytearray = field(default_factory=bytearray)
    body_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    status: int | None = None
    seconds: float | None = None
    cut: bool = False

    def saw_body(self, chunk: bytes) -> None:
        """Count and keep a piece of the request's body."""
        self.body_bytes += len(chunk)
        self.digest.update(chunk)
        self.body += chunk[: max(0, _LOGGED_BODY_BYTES - len(self.body))]

    def as_dict(self) -> dict[str, Any]:
        """Return the log entry."""
        return {
            "method": self.scope["method"],
            "path": self.scope["path"],
            "query": self.scope["query_string"].decode("latin-1"),
            "headers": {k.decode("latin-1"): v.decode("latin-1") for k, v in self.scope["headers"]},
            "body": self.body.decode(errors="replace"),
            "body_bytes": self.body_bytes,
            "body_sha256": self.digest.hexdigest(),
            "status": self.status,
            "seconds": self.seconds,
            "client_left": self.cycle.disconnected and not self.cut,
        }


class Faults:
    """ASGI middleware; put it outermost, directly under the server.

    Args:
        app: the stand-in.
        reset: forgets everything that the stand-in holds; called by ``POST /_sandbox/reset``.
    """

    def __init__(self, app: ASGIApp, *, reset: Callable[[], None] = lambda: None) -> None:
        self.app = app
        self.faults: list[Fault] = []
        self.exchanges: deque[Exchange] = deque(maxlen=_LOGGED_REQUESTS)
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] in _CONTROLS:
            await (await self._control(Request(scope, receive)))(scope, receive, send)
        elif scope["path"].startswith(f"{PREFIX}/"):
            await self.app(scope, receive, send)
        else:
            await self._observe(scope, receive, send)

    async def _control(self, request: Request) -> Response:
        control = request.url.path.removeprefix(f"{PREFIX}/")
        match control, request.method:
            case "fault", HTTPMethod.POST:
                spec = await request.json()
                self.faults.append(Fault(**{**spec, "path": re.compile(spec["path"])}))
            case "fault", HTTPMethod.DELETE:
                self.faults.clear()
            case "requests", HTTPMethod.GET:
                return JSONResponse([exchange.as_dict() for exchange in self.exchanges])
            case "requests", HTTPMethod.DELETE:
                self.exchanges.clear()
            case "reset", HTTPMethod.POST:
                self.faults.clear()
                self.exchanges.clear()
                self._reset()
            case _:
                return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, _cycle(send))
        self.exchanges.append(exchange)

        async def logged_receive() -> Message:
            message = await receive()
            exchange.saw_body(message.get("body", b""))
            return message

        async def logged_send(message: Message) -> None:
            exchange.status = message.get("status", exchange.status)
            await send(message)

        try:
            await self._misbehave(exchange, logged_receive, logged_send)
        finally:
            exchange.seconds = round(time.monotonic() - exchange.began, 4)

    async def _misbehave(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        fault = next((fault for fault in self.faults if fault.hits(exchange.scope)), None)
        if fault is None:
            await self.app(exchange.scope, receive, send)
            return
        await asyncio.sleep(fault.delay)
        if fault.cut_after is not None:
            exchange.cut = True
            send = _cut(send, exchange.cycle.transport, fault.cut_after)
        await (fault.answer() or self.app)(exchange.scope, receive, send)


def _cut(send: Send, connection: asyncio.Transport, allowance: int) -> Send:
    """Return a ``send`` that drops the connection once ``allowance`` body bytes have gone out."""
    remaining = allowance

    async def cutting_send(message: Message) -> None:
        nonlocal remaining
        if connection.is_closing():
            return
        if message["type"] == "http.response.body":
            body = message.get("body", b"")[:remaining]
            remaining -= len(body)
            message = {**message, "body": body, "more_body": True}
        if allowance:
            await send(message)
        if not remaining:
            connection.close()

    return cutting_send


def _cycle(send: Send) -> Any:
    """Return uvicorn's object for this request.

    ASGI itself can neither drop a connection nor say, unasked, that it is gone.
    """
    return send.__self__  # type: ignore[attr-defined]
