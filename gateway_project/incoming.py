"""A request under way to the control plane: bounds on its body, and an end when the process stops.

Django has a body on disk, of any size and for any time, before it asks whose it is, and takes one
without a Content-Length, which is how clients stream, for empty.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from django.conf import settings

from gateway_core import context, problem
from gateway_core.addresses import subscriber
from gateway_core.errors import (
    BodyTooLarge,
    CallerGone,
    GatewayError,
    GatewayOverloaded,
    RequestTooSlow,
)
from gateway_core.headers import first, refuse_encoded
from gateway_core.room import USERS, Room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from gateway_core.asgi import Application, Message, Receive, Scope, Send

_SECONDS: Final = 60
_PIECE_BYTES: Final = 64 * 1024
# What a body takes at least: so much of it may be in memory.
_LEAST_BYTES: Final = 64 * 1024
# Of all strangers together, which is little of what users have: forms, and what is refused anyway.
_STRANGERS_PART: Final = 8

_strangers: Final = Room(lambda: settings.MAX_HELD_BYTES // _STRANGERS_PART)
_under_way: set[Incoming] = set()


@contextmanager
def incoming(receive: Receive, send: Send) -> Iterator[Incoming]:
    """Have a request under way for the block."""
    request = Incoming(receive, send)
    _under_way.add(request)
    try:
        yield request
    finally:
        request.let_go()
        _under_way.discard(request)


async def end_all(error: GatewayError) -> None:
    """Answer what is under way in the running event loop with an error, where nothing is yet."""
    loop = asyncio.get_running_loop()
    for request in list(_under_way):
        if request.loop is loop:
            await request.end(error)


class Incoming:
    """A request whose body is read within bounds.

    Attributes:
        loop: that serves it.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        self._receive = receive
        self._send = send
        self._record = context.current.get()
        self._share = _strangers.share(subscriber(self._record.client_ip if self._record else ""))
        self._most = self._left = 0
        self._deadline: float | None = self.loop.time() + _SECONDS
        self._is_started = self._is_ended = self._is_refused = False

    def admit(self, most_bytes: int, user_id: UUID | None) -> None:
        """Say how large its body may be, and whose it is, None for a stranger's."""
        self._most = self._left = most_bytes
        self._deadline = self.loop.time() + _SECONDS
        if user_id is not None:
            self._share = USERS.share(user_id)

    async def serve(self, application: Application, scope: Scope) -> None:
        """Have the application answer; the length of a body that is streamed is found out before.

        Raises:
            BodyTooLarge: the body is longer than its view takes.
            GatewayOverloaded: too much has come from there, or from all, that waits.
            RequestTooSlow: it did not come in time.
            MediaTypeUnsupported: it is compressed.
            CallerGone: the client left before its end.
        """
        headers = scope["headers"]
        refuse_encoded(headers)
        length = first(headers, b"content-length")
        if length is not None or first(headers, b"transfer-encoding") is None:
            announced = int(length or 0)
            if announced > self._left:
                raise self._too_large()
            if announced:
                self._hold(_LEAST_BYTES)
            await application(scope, self._receive_or_end, self._answer)
            return
        self._hold(_LEAST_BYTES)
        with tempfile.SpooledTemporaryFile(settings.FILE_UPLOAD_MAX_MEMORY_SIZE) as body:
            size = await self._store(body)
            measured = {**scope, "headers": [*headers, (b"content-length", b"%d" % size)]}
            await application(measured, self._from(body, size), self._answer)

    def let_go(self) -> None:
        """Its body is no longer there."""
        self._share.let_go()

    async def end(self, error: GatewayError) -> None:
        """Answer with an error, unless there is an answer. The first error counts."""
        if self._is_started or self._is_ended:
            return
        self._is_ended = True
        # Or the rest of it would be waited for.
        more = [(b"connection", b"close")] if self._is_refused else []
        await problem.answer(error, self._record).send(self._send, *more)

    async def _answer(self, message: Message) -> None:
        if not self._is_ended:
            self._is_started = True
            await self._send(message)

    async def _receive_or_end(self) -> Message:
        """Return the next message. Of a refused body Django hears that its client has left."""
        try:
            return await self._piece()
        except GatewayError as error:
            await self.end(error)
            return {"type": "http.disconnect"}

    async def _piece(self) -> Message:
        if self._deadline is None:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as exc:
            self._is_refused = True
            raise RequestTooSlow(
                f"The body did not arrive within {_SECONDS} seconds. Send it faster."
            ) from exc
        size = len(message.get("body", b""))
        self._left -= size
        if self._record is not None:
            self._record.bytes_in += size
        if self._left < 0:
            self._is_refused = True
            raise self._too_large()
        self._hold(size)
        if not message.get("more_body", False):
            self._deadline = None
        return message

    def _hold(self, size: int) -> None:
        try:
            self._share.take(size)
        except GatewayOverloaded:
            self._is_refused = True
            raise

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self._most} bytes.")

    async def _store(self, body: IO[bytes]) -> int:
        while self._deadline is not None:
            message = await self._piece()
            if message["type"] == "http.disconnect":
                raise CallerGone
            body.write(message.get("body", b""))
        size = body.tell()
        body.seek(0)
        return size

    def _from(self, body: IO[bytes], size: int) -> Receive:
        is_given = False

        async def receive() -> Message:
            nonlocal is_given
            if is_given:
                return await self._receive()
            piece = body.read(_PIECE_BYTES)
            is_given = body.tell() >= size
            return {"type": "http.request", "body": piece, "more_body": not is_given}

        return receive
