"""A trail to do harm to, and the commands that look at it."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from gateway_core.audit.events import encode
from gateway_core.audit.models import AuditEvent

if TYPE_CHECKING:
    from datetime import datetime

ALICE = "0b7c3b0e-6d0c-4a3e-8b53-3f0e64b7a001"
BOB = "0b7c3b0e-6d0c-4a3e-8b53-3f0e64b7a002"


def event(**fields: Any) -> bytes:
    """Return the line of an event; ``at`` gives it another time."""
    at: datetime | None = fields.pop("at", None)
    values: dict[str, Any] = {
        "plane": "data",
        "action": "chat_completions",
        "route": "llm",
        "method": "POST",
        "path": "/api/v1/llm/chat/completions",
        "user_id": ALICE,
        "resource": "",
        "client_ip": "203.0.113.7",
        "request_id": "req_0123456789",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "status": 200,
        "code": "",
        "duration_ms": 12.5,
        "first_byte_ms": None,
        "bytes_in": 1,
        "bytes_out": 2,
        "facts": {"model": "small", "tokens_in": 12, "cost": 0.0001},
    }
    return encode(values | fields, at=at)


def store(*counts: int, **fields: Any) -> None:
    """Store so many batches of so many events."""
    for count in counts:
        AuditEvent.objects.store([event(**fields) for _ in range(count)])


def execute(statement: str, parameters: Any = None) -> int:
    """Do what somebody does who has the database's password; return to how many rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def verify(*options: str) -> str:
    """Return what ``verify_audit`` says of a good trail."""
    output = StringIO()
    call_command("verify_audit", *options, stdout=output)
    return output.getvalue()


def faults(*options: str) -> str:
    """Return what it says of another one."""
    output = StringIO()
    with pytest.raises(CommandError, match="faults"):
        call_command("verify_audit", *options, stdout=output)
    return output.getvalue()


def head() -> str:
    """Return the head that it tells."""
    return next(line for line in verify().splitlines() if line.startswith("head")).split()[1]
