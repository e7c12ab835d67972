"""The end of every request on both planes: metrics, the audit trail, one canonical line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway_core import context, metrics
from gateway_core.errors import FIRST_SERVER_ERROR, CallerGone, InternalError
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.asgi import Application, Message, Receive, Scope, Send
    from gateway_core.context import RequestRecord
    from gateway_core.errors import GatewayError

_log = get_logger("gateway.access")

# Whatever else wants to know of each request that has ended; the audit trail adds itself here.
sinks: list[Callable[[RequestRecord], None]] = []


def conclude(record: RequestRecord) -> None:
    """Log, count and hand on a request that has ended, just before its last byte goes out.

    Only the first call counts, so that every way out may make it.
    """
    if record.ended:
        return
    record.ended = time.monotonic()
    metrics.count(record)
    for sink in sinks:
        sink(record)
    if record.method == "OPTIONS":
        return
    line = _log.error if record.status >= FIRST_SERVER_ERROR else _log.info
    line(
        "request",
        request_id=record.request_id,
        trace_id=record.trace_id,
        method=record.method,
        path=record.path,
        route=record.route,
        operation=record.operation,
        status=record.status,
        code=record.error_code,
        user_id=record.user_id,
        client_ip=record.client_ip,
        duration_ms=record.duration_ms,
        first_byte_ms=record.first_byte_ms,
        bytes_in=record.bytes_in,
        bytes_out=record.bytes_out,
        **record.facts,
    )


def recorded(application: Application) -> Application:
    """Wrap the control plane: a record, ``X-Request-Id`` out, one line at the end."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        record = context.begin(scope)
        request_id = record.request_id.encode()

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                record.first_byte = time.monotonic()
                fields = (*record.headers, (b"x-request-id", request_id))
                message["headers"] = [*message.get("headers", ()), *fields]
            elif message["type"] == "http.response.body":
                record.bytes_out += len(message.get("body", b""))
                if not message.get("more_body", False):
                    conclude(record)
            await send(message)

        error: type[GatewayError] = CallerGone
        try:
            await application(scope, receive, send_recorded)
        except Exception:
            error = InternalError  # which the server answers with
            raise
        finally:
            if not record.status:
                record.status, record.error_code = error.status, error.code
            conclude(record)

    return handle
