"""The door of WebSocket consumers.

Browsers can't set headers on a WebSocket, and a token in the URL ends up in logs, so it comes as a
subprotocol: ``Sec-WebSocket-Protocol: gateway.v1, bearer.<token>``. The answer names
``gateway.v1``. A refused handshake shows a browser no code, so a refusal is an accepted connection
closed at once: 4401 for a token, 4403 for a suspended user, 4503 when nobody can say right now.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from accounts.principals import Principal, identify_token
from accounts.tokens.reasons import Reason, refuse
from gateway_core.errors import GatewayError, TokenRejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.asgi import Application, Message, Receive, Scope, Send

SUBPROTOCOL: Final = "gateway.v1"
_TOKEN_PREFIX: Final = "bearer."  # noqa: S105 - not a token
# RFC 6455 §7.4.2: 4000-4999 are the application's own.
_CLOSE_CODE_BASE: Final = 4000


def authenticated(
    application: Application, *, clock: Callable[[], float] = time.time
) -> Application:
    """Wrap an application: ``scope["principal"]`` is set, and the connection ends with the token.

    The subprotocol that carried the token is gone from the scope.
    """

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            principal = await identify_token(_token(scope))
        except GatewayError as error:
            await _turn_away(error, scope, receive, send)
            return
        chosen = _chosen(scope)
        connection = _Connection(principal, chosen, receive, send, clock)
        admitted = {**scope, "principal": principal, "subprotocols": [chosen] if chosen else []}
        try:
            await application(admitted, connection.receive, connection.send)
        except _Over:
            return

    return handle


class _Over(Exception):
    """The token has expired and the connection is closed."""


@dataclass(slots=True)
class _Connection:
    """A connection that is over when its principal is."""

    principal: Principal
    subprotocol: str | None
    upstream_receive: Receive
    upstream_send: Send
    clock: Callable[[], float]
    is_over: bool = field(default=False, init=False)

    async def receive(self) -> Message:
        """Return the next event; at the end of the token, the client's leaving."""
        try:
            async with asyncio.timeout(self._seconds_left()):
                return await self.upstream_receive()
        except TimeoutError:
            await self._close()
            return {"type": "websocket.disconnect", "code": _close_code(_expired())}

    async def send(self, message: Message) -> None:
        """Send, unless the token has expired meanwhile: then close, and end the application."""
        if self._seconds_left() <= 0:
            await self._close()
            raise _Over
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": self.subprotocol}
        await self.upstream_send(message)

    def _seconds_left(self) -> float:
        return self.principal.expires_at - self.clock()

    async def _close(self) -> None:
        if not self.is_over:
            self.is_over = True
            await self.upstream_send(_close_message(_expired()))


def _token(scope: Scope) -> bytes:
    offered: list[str] = scope.get("subprotocols", [])
    for name in offered:
        if name.startswith(_TOKEN_PREFIX):
            return name.removeprefix(_TOKEN_PREFIX).encode()
    raise refuse(Reason.MISSING_ON_WEBSOCKET)


def _chosen(scope: Scope) -> str | None:
    # Browsers fail a connection whose answer names a subprotocol that they did not offer.
    return SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", []) else None


async def _turn_away(error: GatewayError, scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    await send({"type": "websocket.accept", "subprotocol": _chosen(scope)})
    await send(_close_message(error))


def _close_message(error: GatewayError) -> dict[str, Any]:
    return {"type": "websocket.close", "code": _close_code(error), "reason": error.code}


def _close_code(error: GatewayError) -> int:
    return _CLOSE_CODE_BASE + error.status


def _expired() -> TokenRejected:
    return refuse(Reason.EXPIRED)
