"""The data plane's part: a forwarded request with a key is forwarded once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
from channels.db import database_sync_to_async
from django.conf import settings

from gateway_core import sse
from gateway_core.errors import (
    CallerError,
    Code,
    GatewayError,
    GatewayStopping,
    InternalError,
    RequestMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway_core.headers import first
from gateway_core.idempotency import services
from gateway_core.idempotency.keys import HEADER, KeyedRequest, fingerprint, read_key
from gateway_core.idempotency.outcomes import REPLAYED_HEADER, Answer, Failure
from gateway_core.proxy.operations import BodyKind
from gateway_core.proxy.relay import answer

if TYPE_CHECKING:
    from gateway_core.asgi import Message, Send
    from gateway_core.proxy.exchange import Carry, Exchange

Keep: TypeAlias = Callable[[Answer], Awaitable[None]]

_HEADER: Final = HEADER.lower().encode()
# With these an upstream refuses a request; with other errors it may have begun with it.
_REFUSALS: Final = frozenset({400, 404, 405, 409, 410, 413, 415, 422})

# What a request that was sent may end with while the upstream goes on with it. Not that it broke
# off: Letta drops kept connections without a word, and what is lost with them was not begun.
_IN_DOUBT: Final = (UpstreamTimeout, GatewayStopping)

# Not "thread sensitive": that would queue all of them on one thread.
_reserve = database_sync_to_async(services.reserve, thread_sensitive=False)
_conclude = database_sync_to_async(services.conclude, thread_sensitive=False)


async def carry_once(exchange: Exchange, carry: Carry, *, is_streamed: bool) -> None:
    """Do ``carry(exchange)``; for a key that has been sent before, answer as then.

    Only POSTs have keys. Where an answer can't be kept, a key is refused rather than ignored: who
    sends one relies on it.

    Raises:
        RequestMalformed: the key is none, or the answer would be streamed, or the body is a form.
        GatewayError: as ``services.reserve`` does, and ``carry``.
    """
    header = first(exchange.request_headers, _HEADER)
    if exchange.operation.method != "POST":
        await carry(exchange)
        return
    if header is None:
        await _carry_unkeyed(exchange, carry)
        return
    _refuse_unrepeatable(exchange, is_streamed=is_streamed)
    found = await _reserve(
        _keyed(exchange, header),
        lease_seconds=exchange.upstream.timeouts().total + settings.IDEMPOTENCY_LEASE_SECONDS,
    )
    if isinstance(found, Answer):
        await _replay(exchange, found)
        return
    # Who leaves may come back for the answer.
    exchange.operation = replace(exchange.operation, must_finish=True)
    send = exchange.send
    exchange.send = Recorder(send, partial(_conclude, found))
    try:
        await carry(exchange)
    except Exception as exc:
        await _conclude(found, _failure(exchange, exc))
        raise
    finally:
        exchange.send = send


async def _carry_unkeyed(exchange: Exchange, carry: Carry) -> None:
    """Do ``carry(exchange)``; official SDKs are told not to repeat by themselves what may be done.

    A message to an agent would be sent, answered and paid for twice.
    """
    try:
        await carry(exchange)
    except GatewayError as error:
        if exchange.is_sent and not exchange.started and isinstance(error, _IN_DOUBT):
            raise error.unrepeatable("It may be done: look before you repeat it.") from error
        raise


class Recorder:
    """Sends an answer on, and has it kept before its last bytes go out."""

    def __init__(self, send: Send, keep: Keep) -> None:
        self._send = send
        self._keep = keep
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._body: bytearray | None = None

    async def __call__(self, message: Message) -> None:
        """Take one ASGI message."""
        if message["type"] == "http.response.start":
            self._begin(message)
        else:
            self._add(message.get("body", b""))
            if not message.get("more_body", False):
                body = None if self._body is None else bytes(self._body)
                await self._keep(Answer.of(self._status, self._headers, body))
        await self._send(message)

    def _begin(self, message: Any) -> None:
        self._status = message["status"]
        self._headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
        ]
        is_stream = sse.is_event_stream(dict(self._headers).get("content-type", ""))
        self._body = None if is_stream else bytearray()

    def _add(self, piece: bytes) -> None:
        if self._body is not None:
            self._body += piece
            if len(self._body) > settings.IDEMPOTENCY_MAX_BYTES:
                self._body = None


def _refuse_unrepeatable(exchange: Exchange, *, is_streamed: bool) -> None:
    if is_streamed:
        raise RequestMalformed(
            f"A streamed answer can't be given again. Leave out {HEADER}, or don't stream.",
            param=HEADER,
        )
    if exchange.operation.body is BodyKind.FORM:
        raise RequestMalformed(f"Uploads take no {HEADER}. Leave it out.", param=HEADER)


def _keyed(exchange: Exchange, header: bytes) -> KeyedRequest:
    """What the body says is compared, not its bytes, which are gone once it is parsed."""
    try:
        body = orjson.dumps(exchange.payload, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as exc:
        raise RequestMalformed("The body is nested too deeply.") from exc
    return KeyedRequest(
        user_id=exchange.principal.user_id,
        route=f"POST {exchange.route.name}:{exchange.target}",
        key=read_key(header.decode("latin-1")),
        fingerprint=fingerprint(exchange.scope["query_string"], body),
    )


async def _replay(exchange: Exchange, found: Answer) -> None:
    exchange.record.facts["replayed"] = True
    fields = (*found.headers, (REPLAYED_HEADER, "true"))
    await answer(exchange, found.status, fields, found.body or b"")


def _failure(exchange: Exchange, exc: Exception) -> Failure:
    error = exc if isinstance(exc, GatewayError) else InternalError()
    return Failure(
        status=error.status, code=error.code, nothing_done=_proves_nothing_done(exchange, error)
    )


def _proves_nothing_done(exchange: Exchange, error: GatewayError) -> bool:
    if not exchange.is_sent or isinstance(error, UpstreamUnreachable):
        return True
    # A conversation may turn out to be too long after some steps of it.
    is_late = error.code is Code.CALLER_CONTEXT_TOO_LONG
    is_refusal = isinstance(error, CallerError) and exchange.upstream_status in _REFUSALS
    return is_refusal and not is_late
