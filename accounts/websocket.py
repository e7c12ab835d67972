"""The door of WebSocket consumers.

Browsers can't set headers on a WebSocket, and a token in the URL ends up in logs, so it comes as a
subprotocol: ``Sec-WebSocket-Protocol: gateway.v1, bearer.<token>``. The answer names
``gateway.v1``. A refused handshake shows a browser no code, so a refusal is an accepted connection
closed at once: 4401 for a token, 4403 for a suspended user, 4429 after too many guesses, 4503 when
nobody can say right now.

A connection ends with its token, and as soon as its token proves nothing any more: when something
changes for a user, their connections prove themselves again.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from accounts.principals.identify import identify_token
from accounts.principals.memory import INVALIDATION_SUBJECT
from accounts.tokens.reasons import Reason, refuse
from gateway_core import context
from gateway_core.cache import on_invalidate
from gateway_core.errors import CallerError, Code, GatewayError, PolicyError
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accounts.principals.principal import Principal
    from gateway_core.asgi import Application, Message, Receive, Scope, Send

SUBPROTOCOL: Final = "gateway.v1"
_TOKEN_PREFIX: Final = "bearer."  # noqa: S105 - not a token
# RFC 6455 §7.4.2: 4000-4999 are the application's own.
_CLOSE_CODE_BASE: Final = 4000

_open: dict[asyncio.AbstractEventLoop, set[_Connection]] = {}


def authenticated(
    application: Application, *, clock: Callable[[], float] = time.time
) -> Application:
    """Wrap an application: ``scope["principal"]`` is set, and the connection ends with the token.

    The subprotocol that carried the token is gone from the scope.
    """

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            context.begin(scope)
            token = _token(scope)
            principal = await identify_token(token, is_ours=False)
        except GatewayError as error:
            await turn_away(error, scope, receive, send)
            return
        chosen = _chosen(scope)
        connection = _Connection(principal, token, chosen, receive, send, clock)
        admitted = {**scope, "principal": principal, "subprotocols": [chosen] if chosen else []}
        with _kept(connection):
            # What changed for the user since a moment ago has not reached this connection.
            await connection.prove_again()
            if connection.is_over():
                return
            with suppress(_Over):
                await application(admitted, connection.receive, connection.send)

    return handle


class _Over(Exception):
    """The connection is closed, and the application has nobody to speak to."""


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection that is over when its principal is.

    Attributes:
        is_accepted: the handshake is done.
        is_closed: one of both sides has closed it.
        ending: why it was ended from here.
    """

    principal: Principal
    token: bytes = field(repr=False)
    subprotocol: str | None
    upstream_receive: Receive
    upstream_send: Send
    clock: Callable[[], float]
    is_accepted: bool = field(default=False, init=False)
    is_closed: bool = field(default=False, init=False)
    ending: GatewayError | None = field(default=None, init=False)

    async def receive(self) -> Message:
        """Return the next event; once the connection is over, the client's leaving."""
        if not self.is_over():
            try:
                async with asyncio.timeout(self._seconds_left()):
                    event = await self.upstream_receive()
            except TimeoutError:
                await self.end(_expired())
            else:
                self.is_closed = event["type"] == "websocket.disconnect"
                if not self.is_over():  # or it is from somebody who was shut out meanwhile
                    return event
        return {"type": "websocket.disconnect", "code": _close_code(self.ending or _expired())}

    async def send(self, message: Message) -> None:
        """Send, unless the connection is over: then end the application."""
        if self._seconds_left() <= 0:
            await self.end(_expired())
        if self.is_over():
            raise _Over
        if message["type"] == "websocket.accept":
            self.is_accepted = True
            message = {**message, "subprotocol": self.subprotocol}
        elif message["type"] == "websocket.close":
            self.is_closed = True
        await self.upstream_send(message)

    async def prove_again(self) -> None:
        """End the connection if its token proves nothing any more."""
        try:
            await identify_token(self.token)
        except (CallerError, PolicyError) as error:
            # Its end is looked after already, with the tolerance for clocks.
            if error.code is not Code.CALLER_TOKEN_EXPIRED:
                await self.end(error)
        except GatewayError:
            return  # nobody can say right now

    async def end(self, error: GatewayError) -> None:
        """Close the connection, whatever the application is doing. The first error counts.

        An application that waits for an event gets the server's, that the connection is closed.
        """
        if self.is_over() or self.is_closed:
            return
        self.ending = error
        with suppress(OSError):  # the client has left
            if not self.is_accepted:
                await self.upstream_send(
                    {"type": "websocket.accept", "subprotocol": self.subprotocol}
                )
            await self.upstream_send(_close_message(error))

    def is_over(self) -> bool:
        """Say whether it was ended from here."""
        return self.ending is not None

    def _seconds_left(self) -> float:
        return self.principal.expires_at - self.clock()


@contextmanager
def _kept(connection: _Connection) -> Iterator[None]:
    """Keep a connection where it is found when something changes for its user."""
    loop = asyncio.get_running_loop()
    connections = _open.setdefault(loop, set())
    connections.add(connection)
    try:
        yield
    finally:
        connections.discard(connection)
        if not connections:
            _open.pop(loop, None)


def _recheck(user_id: UUID) -> None:
    """Have the open connections of a user prove themselves again; from any thread."""
    for loop in list(_open):
        if not loop.is_closed():
            loop.call_soon_threadsafe(_recheck_in, loop, user_id)


def _recheck_in(loop: asyncio.AbstractEventLoop, user_id: UUID) -> None:
    for connection in _open.get(loop, ()):
        if connection.principal.user_id == user_id:
            spawn(connection.prove_again())


def _token(scope: Scope) -> bytes:
    offered: list[str] = scope.get("subprotocols", [])
    for name in offered:
        if name.startswith(_TOKEN_PREFIX):
            return name.removeprefix(_TOKEN_PREFIX).encode()
    raise refuse(Reason.MISSING_ON_WEBSOCKET)


def _chosen(scope: Scope) -> str | None:
    # Browsers fail a connection whose answer names a subprotocol that they did not offer.
    return SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", []) else None


async def turn_away(error: GatewayError, scope: Scope, receive: Receive, send: Send) -> None:
    """Close a connection that has not begun, in a way that browsers can read."""
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    await send({"type": "websocket.accept", "subprotocol": _chosen(scope)})
    await send(_close_message(error))


def _close_message(error: GatewayError) -> dict[str, Any]:
    return {"type": "websocket.close", "code": _close_code(error), "reason": error.code}


def _close_code(error: GatewayError) -> int:
    return _CLOSE_CODE_BASE + error.status


def _expired() -> GatewayError:
    return refuse(Reason.EXPIRED)


on_invalidate(INVALIDATION_SUBJECT, lambda key: _recheck(UUID(key)))
