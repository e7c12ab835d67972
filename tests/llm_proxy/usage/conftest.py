from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from gateway_core.context import RequestRecord
from llm_proxy.usage.client import Books
from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.conftest import Running
    from tests.llm_proxy.conftest import LiteLLMBooks

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


def kept_call(call_id: str, **fields: Any) -> UsageRecord:
    """Store the event of a call and return its usage record."""
    facts = {"call_id": call_id, **fields.pop("facts", {})}
    AuditEvent.objects.store([call_event(facts=facts, **fields)])
    return UsageRecord.objects.get(call_id=call_id)


class Caller:
    """A user of LiteLLM's with a key, who calls it directly."""

    def __init__(self, litellm: Running, books: LiteLLMBooks, user_id: UUID) -> None:
        self.user_id = user_id
        self._client = litellm.client
        self._books = books
        books.post("/user/new", {"user_id": str(user_id), "auto_create_key": False})
        self._key = self._new_key()

    def __call__(self, call_id: str, model: str = "gpt-4o-mini", **body: Any) -> httpx.Response:
        wish = {"model": model, "messages": [{"role": "user", "content": "hi"}], **body}
        headers = {"authorization": f"Bearer {self._key['key']}", "x-litellm-call-id": call_id}
        return self._client.post("/v1/chat/completions", json=wish, headers=headers)

    @property
    def token_hash(self) -> str:
        return str(self._key["token"])

    def _new_key(self) -> dict[str, Any]:
        key = self._books.post("/key/generate", {"user_id": str(self.user_id)})
        return dict(key)


@pytest.fixture
def caller(litellm: Running, books: LiteLLMBooks) -> Caller:
    return Caller(litellm, books, USER_ID)


@pytest.fixture
def litellms_books(litellm: Running) -> Iterator[Books]:
    """What the gateway reads of LiteLLM's books."""
    del litellm
    books = Books()
    yield books
    books.close()
