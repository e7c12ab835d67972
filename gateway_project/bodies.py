"""Bounds around the control plane: on a body's size and time, and an end when the process stops.

Django has a body on disk, of any size and for any time, before it asks whose it is, and takes one
without a Content-Length, which is how clients stream, for empty.
"""

from __future__ import annotations

import asyncio
import tempfile
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Final

from django.conf import settings

from gateway_core import context, problem
from gateway_core.errors import BodyTooLarge, CallerGone, GatewayError, RequestMalformed
from gateway_core.headers import first, refuse_encoded

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Message, Receive, Scope, Send

_SECONDS: Final = 60
_PIECE_BYTES: Final = 64 * 1024

_under_way: set[_Request] = set()


def bounded(application: Application) -> Application:
    """Wrap the control plane."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        request = _Request(receive, send)
        _under_way.add(request)
        try:
            await request.serve(application, scope)
        except GatewayError as error:
            await request.end(error)
        finally:
            _under_way.discard(request)

    return handle


async def end_all(error: GatewayError) -> None:
    """Answer what is under way in the running event loop with an error, where nothing is yet."""
    loop = asyncio.get_running_loop()
    for request in list(_under_way):
        if request.loop is loop:
            await request.end(error)


class _Request:
    """A request whose body is read within bounds."""

    __slots__ = (
        "_deadline",
        "_is_ended",
        "_is_refused",
        "_is_started",
        "_left",
        "_receive",
        "_record",
        "_send",
        "loop",
    )

    def __init__(self, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        self._receive = receive
        self._send = send
        self._record = context.current.get()
        self._left = _most_bytes()
        self._deadline: float | None = self.loop.time() + _SECONDS
        self._is_started = self._is_ended = self._is_refused = False

    async def serve(self, application: Application, scope: Scope) -> None:
        """Have the application answer; the length of a body that is streamed is found out before.

        Raises:
            BodyTooLarge: the body is longer than any view takes.
            RequestMalformed: 408, it did not come in time.
            MediaTypeUnsupported: it is compressed.
            CallerGone: the client left before its end.
        """
        headers = scope["headers"]
        refuse_encoded(headers)
        length = first(headers, b"content-length")
        if length is not None or first(headers, b"transfer-encoding") is None:
            if length is not None and int(length) > self._left:
                raise _too_large()
            await application(scope, self._receive_or_end, self._answer)
            return
        with tempfile.SpooledTemporaryFile(settings.FILE_UPLOAD_MAX_MEMORY_SIZE) as body:
            size = await self._store(body)
            measured = {**scope, "headers": [*headers, (b"content-length", b"%d" % size)]}
            await application(measured, self._from(body, size), self._answer)

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
            raise RequestMalformed(
                f"The body did not arrive within {_SECONDS} seconds. Send it faster.",
                status=HTTPStatus.REQUEST_TIMEOUT,
            ) from exc
        size = len(message.get("body", b""))
        self._left -= size
        if self._record is not None:
            self._record.bytes_in += size
        if self._left < 0:
            self._is_refused = True
            raise _too_large()
        if not message.get("more_body", False):
            self._deadline = None
        return message

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


def _most_bytes() -> int:
    return max(
        settings.MAX_JSON_BYTES,
        settings.MAX_TEMPLATE_BYTES,
        settings.MAX_BUNDLE_BYTES,
        settings.MAX_AGENT_FILE_BYTES,
    )


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {_most_bytes()} bytes.")
