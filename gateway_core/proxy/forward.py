"""Sending the request on: path built anew, headers by allow-list, our credential last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from gateway_core import context, headers
from gateway_core.errors import FIRST_SERVER_ERROR, UpstreamAnswerInvalid, UpstreamError
from gateway_core.proxy.body import Upload
from gateway_core.proxy.operations import BodyKind

if TYPE_CHECKING:
    from gateway_core.breaker.call import Call
    from gateway_core.http import UpstreamResponse
    from gateway_core.proxy.exchange import Exchange
    from gateway_core.proxy.guard import Guard

_ERROR_BYTES: Final = 256 * 1024
_SUCCESS: Final = range(200, 300)
_ERROR: Final = 400


async def forward(exchange: Exchange, guard: Guard, call: Call) -> UpstreamResponse:
    """Send the request and return the answer, whose head has come and is a success.

    The call begins anew when an upload has come to its end, however long its client took.

    Raises:
        GatewayError: what the route's ``translate`` makes of an error answer; UpstreamError for
            a redirect, another protocol or none at all; whatever ended the caller's body.
    """
    response = await _send(exchange, guard, call)
    call.answered(is_failure=False if response.status in _SUCCESS else None)
    exchange.upstream_status = response.status
    exchange.upstream_headers = response.headers
    if response.status in _SUCCESS:
        return response
    is_reusable = False
    try:
        if response.status < _ERROR:
            raise UpstreamAnswerInvalid
        body = await response.read(_ERROR_BYTES)
        # After a failure of its own, Letta drops the connection without saying so (measured).
        is_reusable = response.status < FIRST_SERVER_ERROR
    finally:
        response.close(reusable=is_reusable)
    raise exchange.route.translate(exchange, response.status, body)


async def _send(exchange: Exchange, guard: Guard, call: Call) -> UpstreamResponse:
    operation = exchange.operation
    sent = headers.request_headers(exchange.request_headers)
    body: bytes | Upload | None = None
    if operation.body is BodyKind.FORM:

        def complete() -> None:
            call.begin()
            guard.listen()

        body = Upload(exchange, when_moved=guard.deadline.upload_moved, when_complete=complete)
        sent["content-type"] = body.content_type
    elif exchange.payload is not None:
        body = orjson.dumps(exchange.payload)
        sent["content-type"] = "application/json"
    else:
        sent.pop("content-type", None)
    sent["x-request-id"] = exchange.record.request_id
    sent["traceparent"] = context.traceparent(exchange.record)
    sent.update(exchange.headers)
    exchange.is_sent = True
    try:
        return await exchange.upstream.client.open(
            operation.method,
            f"{exchange.target}?{exchange.query}" if exchange.query else exchange.target,
            headers=sent,
            body=body,
        )
    except UpstreamError as exc:
        if isinstance(body, Upload) and body.error is not None:
            raise body.error from exc
        raise
