"""HTTP/1.0 has no chunks: an answer of unknown length ends with its connection."""

from __future__ import annotations

import json

from tests.conftest import RunningSupabase
from tests.gateway_project.server.conftest import Serve
from tests.gateway_project.server.wire import Wire

CALL = b"POST /api/v1/llm/v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
HEALTH = b"GET /api/v1/system/health HTTP/1.0\r\n\r\n"


def _answer(port: int, request: bytes) -> tuple[list[str], bytes]:
    """Return the lines of the head, without their values, and all that comes until the end."""
    with Wire(port) as wire:
        wire.send(request)
        received = b"".join(iter(lambda: wire.socket.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    first, *fields = head.decode().lower().split("\r\n")
    assert first == "http/1.1 200 ok"
    return [field.partition(":")[0] for field in fields], body


def test_answers_without_chunks(serve: Serve, supabase: RunningSupabase) -> None:
    served = serve()
    wish = {"model": "stub/s-n3", "stream": True, "messages": [{"role": "user", "content": "a"}]}
    content = json.dumps(wish).encode()
    fields = b"Authorization: Bearer %b\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"

    streamed = CALL + fields % (supabase.token().encode(), len(content)) + content
    names, body = _answer(served.port, streamed)
    assert not {"transfer-encoding", "content-length"} & set(names)
    assert "connection" in names
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")

    names, body = _answer(served.port, HEALTH)
    assert "transfer-encoding" not in names
    assert "content-length" in names
    assert json.loads(body)["status"] == "ok"

    names, body = _answer(served.port, HEALTH.replace(b"GET", b"HEAD"))
    assert "transfer-encoding" not in names
    assert body == b""
