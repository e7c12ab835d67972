"""Handing the answer on: bytes as they come, or one JSON document that the route has seen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core import headers, problem, sse
from gateway_core.errors import (
    CallerGone,
    GatewayError,
    UpstreamAnswerInvalid,
)
from gateway_core.proxy.exchange import AnswerFailed
from gateway_core.proxy.holding import hold
from gateway_core.proxy.settle import settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway_core.http import UpstreamResponse
    from gateway_core.proxy.deadline import Deadline
    from gateway_core.proxy.exchange import Exchange, Observer

_DOCUMENT_BYTES: Final = 64 * 1024 * 1024


async def relay(exchange: Exchange, response: UpstreamResponse, deadline: Deadline) -> None:
    """Send the upstream's answer to the caller.

    Raises:
        UpstreamAnswerInvalid, UpstreamInterrupted: the answer is not whole.
        GatewayError: what the route's observer ends it with.
    """
    content_type = response.headers.get("content-type", "")
    if sse.is_event_stream(content_type):
        await _relay_events(exchange, response, deadline)
    elif exchange.route.reshape and (reshape := exchange.route.reshape(exchange)):
        await _relay_document(exchange, response, reshape)
    else:
        await _relay_bytes(exchange, response, deadline)


async def refuse(exchange: Exchange, error: GatewayError) -> None:
    """Answer with an error in the one envelope.

    After the first byte a stream gets it as its last event. Any other answer stays short, and the
    server closes the connection, which is how HTTP says that an answer is not whole.
    """
    exchange.record.error_code = error.code
    if isinstance(error, CallerGone):
        exchange.record.status = exchange.record.status or error.status
        return
    if exchange.started:
        if exchange.is_stream:
            frame = sse.error_frame(error, exchange.record.request_id)
            await _write(exchange, b"\n\n" * exchange.is_within_frame + frame, more=False)
        return
    told = problem.answer(error, exchange.record)
    await answer(exchange, told.status, told.fields.items(), told.body)


async def answer(
    exchange: Exchange, status: int, fields: Iterable[tuple[str, str]], body: bytes
) -> None:
    """Answer with something of the gateway's own."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    raw.append((b"content-length", b"%d" % len(body)))
    await _start(exchange, status, raw)
    await _write(exchange, body, more=False)


async def _relay_events(exchange: Exchange, response: UpstreamResponse, deadline: Deadline) -> None:
    fields = [pair for pair in headers.response_headers(response.raw_headers) if not _caches(pair)]
    exchange.is_stream = True
    await _start(exchange, response.status, [*fields, *sse.ANTI_BUFFERING])
    observer = _observer(exchange)
    aligner = sse.FrameAligner()
    try:
        async for piece in response.chunks():
            deadline.answer_moved()
            frames = aligner.feed(piece)
            if frames and observer is not None:
                frames = observer.feed(frames)
            if frames:
                exchange.is_within_frame = not frames.endswith(sse.FRAME_END)
                # SDKs close the connection at the last frame, which then is no leaving early.
                await _write(exchange, frames, more=True, settles=frames.endswith(sse.DONE))
        rest = aligner.rest()
        if rest and observer is not None:
            rest = observer.feed(rest)
    except AnswerFailed as failure:
        if failure.before:
            await _write(exchange, failure.before, more=True)
        raise failure.error from failure
    await _write(exchange, rest, more=False)


async def _relay_bytes(exchange: Exchange, response: UpstreamResponse, deadline: Deadline) -> None:
    fields = headers.response_headers(response.raw_headers)
    length = response.headers.get("content-length")
    if length is not None:
        fields.append((b"content-length", length.encode("latin-1")))
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if not is_json:
        await _start(exchange, response.status, fields)
    observer = _observer(exchange)
    # One piece is held back, so that the last one is known when it is sent.
    held = b""
    async for piece in response.chunks():
        deadline.answer_moved()
        if observer is not None:
            observer.feed(piece)
        if held:
            if not exchange.started:
                await _start(exchange, response.status, fields)
            await _write(exchange, held, more=True)
        held = piece
    if not exchange.started:
        if held and "content-encoding" not in response.headers:
            _require_json(held)
        await _start(exchange, response.status, fields)
    await _write(exchange, held, more=False)


def _require_json(document: bytes) -> None:
    """Look at a whole answer that came in one piece: nobody has any of it yet."""
    try:
        orjson.loads(document)
    except orjson.JSONDecodeError as exc:
        raise UpstreamAnswerInvalid from exc


async def _relay_document(
    exchange: Exchange, response: UpstreamResponse, reshape: Callable[[Any], Awaitable[Any]]
) -> None:
    raw = await _document(exchange, response)
    try:
        document = orjson.loads(raw) if raw else None
        body = orjson.dumps(await reshape(document)) if raw else b""
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError) as exc:
        raise UpstreamAnswerInvalid from exc  # orjson reads what is nested too deeply to be written
    fields = [pair for pair in headers.response_headers(response.raw_headers) if not _encoded(pair)]
    fields.append((b"content-length", b"%d" % len(body)))
    await _start(exchange, response.status, fields)
    await _write(exchange, body, more=False)


async def _document(exchange: Exchange, response: UpstreamResponse) -> bytes:
    document = bytearray()
    async for piece in response.chunks():
        hold(exchange, len(piece))
        document += piece
        if len(document) > _DOCUMENT_BYTES:
            raise UpstreamAnswerInvalid
    return bytes(document)


def _observer(exchange: Exchange) -> Observer | None:
    exchange.observer = exchange.route.observe(exchange) if exchange.route.observe else None
    return exchange.observer


async def _start(exchange: Exchange, status: int, fields: list[tuple[bytes, bytes]]) -> None:
    record = exchange.record
    record.status = status
    record.first_byte = time.monotonic()
    exchange.started = True
    fields += record.headers
    fields.append((b"x-request-id", record.request_id.encode()))
    await exchange.send({"type": "http.response.start", "status": status, "headers": fields})


async def _write(exchange: Exchange, piece: bytes, *, more: bool, settles: bool = False) -> None:
    exchange.record.bytes_out += len(piece)
    if settles or not more:
        await settle(exchange)
    exchange.is_waiting_for_client = True
    await exchange.send({"type": "http.response.body", "body": piece, "more_body": more})
    exchange.is_waiting_for_client = False


def _caches(pair: tuple[bytes, bytes]) -> bool:
    return pair[0] == b"cache-control"


def _encoded(pair: tuple[bytes, bytes]) -> bool:
    return pair[0] == b"content-encoding"
