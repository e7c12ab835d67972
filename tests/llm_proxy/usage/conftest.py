from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from gateway_core.context import RequestRecord

if TYPE_CHECKING:
    from collections.abc import Callable

USER_ID = UUID("0b7c3b0e-6d0c-4a3e-8b53-3f0e64b7a001")


def call_event(*, seconds: float = 1.5, **fields: Any) -> bytes:
    """Return the line of a model call's event."""
    started = time.monotonic()
    values: dict[str, Any] = {
        "request_id": "req_0123456789",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "method": "POST",
        "path": "/api/v1/llm/chat/completions",
        "client_ip": "203.0.113.7",
        "started": started,
        "ended": started + seconds,
        "route": "llm",
        "operation": "chat/completions",
        "user_id": str(USER_ID),
        "status": 200,
    }
    facts = {"call_id": f"call-{uuid4()}", "model": "small", **fields.pop("facts", {})}
    return line_of(RequestRecord(**values | fields, facts=facts))


@pytest.fixture
def keep() -> Callable[..., None]:
    """Store the event of a call with these facts."""

    def store(**facts: Any) -> None:
        AuditEvent.objects.store([call_event(facts=facts)])

    return store
