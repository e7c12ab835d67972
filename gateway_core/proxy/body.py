"""Taking in a request body: JSON is read whole and parsed, a form is filtered as it streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import orjson

from gateway_core.crowded import refuse_crowded
from gateway_core.errors import (
    BodyTooLarge,
    CallerGone,
    GatewayError,
    MediaTypeUnsupported,
    RequestMalformed,
    RequestTooSlow,
)
from gateway_core.headers import first, refuse_encoded
from gateway_core.proxy.form import FormFilter, boundary_of
from gateway_core.proxy.holding import hold
from gateway_core.proxy.operations import BodyKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway_core.asgi import Message
    from gateway_core.proxy.exchange import Exchange

_JSON_TYPES: Final = (b"application/json", b"text/json")
_MEBIBYTE: Final = 1024 * 1024
# For a whole JSON body, which is held in memory meanwhile.
_SECONDS: Final = 60
# Between two pieces of an upload.
_IDLE_SECONDS: Final = 30


async def take_in(exchange: Exchange) -> None:
    """Check the announced size and type; read and parse a JSON body into ``payload``.

    Raises:
        BodyTooLarge, MediaTypeUnsupported, RequestMalformed, RequestTooSlow: as they say.
        GatewayOverloaded: there is no memory for it now.
        CallerGone: the client left before its body was complete.
    """
    kind = exchange.operation.body
    if kind is BodyKind.NONE:
        return
    refuse_encoded(exchange.request_headers)
    announced = first(exchange.request_headers, b"content-length")
    if announced is not None and announced.isdigit():
        check_size(exchange, int(announced))
    content_type = first(exchange.request_headers, b"content-type") or b""
    if kind is BodyKind.FORM:
        boundary_of(content_type)
        return
    if content_type and not _is_json(content_type):
        raise MediaTypeUnsupported("Send the body as application/json.")
    try:
        async with asyncio.timeout(_SECONDS):
            body = b"".join([piece async for piece in _held(exchange)])
    except TimeoutError as exc:
        raise _too_slow(_SECONDS) from exc
    exchange.payload = _parse(body)


def check_size(exchange: Exchange, size: int) -> None:
    """Refuse a body of more bytes than the operation takes.

    Raises:
        BodyTooLarge: it is.
    """
    limit = exchange.operation.max_bytes
    if size > limit:
        shown = f"{limit / _MEBIBYTE:.4g} MiB" if limit >= _MEBIBYTE else f"{limit} bytes"
        raise BodyTooLarge(f"The body is larger than the {shown} that this route takes.")


async def pieces(exchange: Exchange, *, idle_seconds: float | None = None) -> AsyncIterator[bytes]:
    """Yield the body as the client sends it; the client is read no faster than this is.

    Raises:
        BodyTooLarge: it grew over the operation's limit.
        CallerGone: the client left before the end.
        RequestTooSlow: it sent nothing for ``idle_seconds``.
    """
    more = True
    while more:
        message = await _message(exchange, idle_seconds)
        if message["type"] == "http.disconnect":
            raise CallerGone
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        if piece:
            exchange.record.bytes_in += len(piece)
            check_size(exchange, exchange.record.bytes_in)
            yield piece


async def _held(exchange: Exchange) -> AsyncIterator[bytes]:
    async for piece in pieces(exchange):
        hold(exchange, len(piece))
        yield piece


async def _message(exchange: Exchange, idle_seconds: float | None) -> Message:
    if idle_seconds is None:
        return await exchange.receive()
    exchange.is_waiting_for_client = True
    try:
        async with asyncio.timeout(idle_seconds):
            return await exchange.receive()
    except TimeoutError as exc:
        raise _too_slow(idle_seconds) from exc
    finally:
        exchange.is_waiting_for_client = False


def _too_slow(seconds: float) -> RequestTooSlow:
    return RequestTooSlow(f"The body did not arrive within {seconds:g} seconds. Send it faster.")


class Upload:
    """A multipart body on its way upstream, under a boundary of our own.

    The HTTP client reports any failure of its body as one of the connection; ``error`` keeps what
    it really was.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        when_moved: Callable[[], None],
        when_complete: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._when_moved = when_moved
        self._when_complete = when_complete
        content_type = first(exchange.request_headers, b"content-type") or b""
        self._filter = FormFilter(boundary_of(content_type), exchange.check_form_field)
        self.content_type = self._filter.content_type
        self.error: GatewayError | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces(self._exchange, idle_seconds=_IDLE_SECONDS):
                self._when_moved()
                if rewritten := self._filter.feed(piece):
                    yield rewritten
            yield self._filter.end()
        except GatewayError as error:
            self.error = error
            raise
        self._when_complete()


def _is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type in _JSON_TYPES or media_type.endswith(b"+json")


def _parse(body: bytes) -> object:
    if not body:
        return None
    refuse_crowded(body)
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RequestMalformed(f"The body is not JSON: {exc.msg} at byte {exc.pos}.") from exc
    try:
        orjson.dumps(payload)  # which goes less deep than reading does
    except orjson.JSONEncodeError as exc:
        raise RequestMalformed(f"The body is nested too deeply: {exc}.") from exc
    return payload
