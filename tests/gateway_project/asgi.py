"""One request to an ASGI application, and its answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What came back; of repeated headers the last."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def ask(
    application: Any,
    path: str = "/",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    **scope: Any,
) -> Answer:
    """Make one request without a body."""
    answer = Answer()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {
                name.decode(): value.decode("latin-1") for name, value in message["headers"]
            }
        else:
            answer.body += message.get("body", b"")

    sent = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    request = {"type": "http", "method": method, "path": path, "headers": sent, **scope}
    await application(request, receive, send)
    return answer
