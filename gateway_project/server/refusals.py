"""Requests that the server itself turns away, in the one envelope and on record like any other."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway_core import access, context, problem
from gateway_core.access import recorded
from gateway_core.audit.events import SERVER_ROUTE
from gateway_core.context import RequestRecord
from gateway_core.errors import GatewayError, GatewayOverloaded, GatewayStopping

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Receive, Scope, Send

_AGAIN_SECONDS: Final = 1


def refusing(error: GatewayError) -> Application:
    """Return an application that answers every request with an error, and closes the connection."""

    async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
        record = context.current.get()
        if record is not None:
            record.route = SERVER_ROUTE
        told = problem.answer(error, record)
        await told.send(send, (b"connection", b"close"))

    return recorded(refuse)


stopping: Final = refusing(GatewayStopping(retry_after=_AGAIN_SECONDS))
overloaded: Final = refusing(GatewayOverloaded(retry_after=_AGAIN_SECONDS))


def written(error: GatewayError, client_ip: str) -> bytes:
    """Return the answer to what has not become a request, as it goes over the wire."""
    now = time.monotonic()
    record = RequestRecord(
        request_id=context.new_request_id(),
        trace_id=context.random_hex(32),
        method="-",
        path="-",
        client_ip=client_ip,
        started=now,
        route=SERVER_ROUTE,
        status=error.status,
        first_byte=now,
    )
    told = problem.answer(error, record)
    record.bytes_out = len(told.body)
    access.conclude(record)
    fields = told.fields | {
        "content-length": str(len(told.body)),
        "connection": "close",
        "x-request-id": record.request_id,
        "date": formatdate(usegmt=True),
    }
    lines = [f"HTTP/1.1 {told.status} {HTTPStatus(told.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + told.body
