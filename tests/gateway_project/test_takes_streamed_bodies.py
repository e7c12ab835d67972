"""Bodies of the control plane without a length, as clients stream them, and those that stall."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from gateway_core.audit import trail
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship
from gateway_project import incoming

SignIn = Callable[[str], httpx.Client]


def _pieces(document: object) -> Iterator[bytes]:
    content = json.dumps(document).encode()
    for place in range(0, len(content), 5):
        yield content[place : place + 5]


def test_takes_a_body_in_chunks_like_any_other(client_for: SignIn) -> None:
    alice = client_for("alice@example.com")

    answer = alice.post(
        "/api/v1/llm/keys",
        content=_pieces({"name": "streamed", "scopes": ["llm"]}),
        headers={"content-type": "application/json"},
    )

    assert answer.status_code == 201
    assert answer.json()["name"] == "streamed"


def test_says_in_the_trail_how_long_a_body_was(client_for: SignIn) -> None:
    alice = client_for("alice@example.com")
    content = b'{"name": "counted"}'
    headers = {"content-type": "application/json"}
    whole = alice.post("/api/v1/llm/keys", content=content, headers=headers)
    streamed = alice.post("/api/v1/llm/keys", content=iter([content]), headers=headers)

    spool = trail.start()
    spool.hand_over()
    ship(spool)
    for answer in (whole, streamed):
        event = AuditEvent.objects.get(
            request_id=answer.headers["x-request-id"], status__isnull=False
        )
        assert event.bytes_in == len(content)


def test_takes_a_large_body_in_chunks_as_one(client_for: SignIn) -> None:
    alice = client_for("alice@example.com")
    whole = {"name": "x" * 300_000, "scopes": ["llm"]}

    streamed = alice.post(
        "/api/v1/llm/keys",
        content=_pieces_of(json.dumps(whole).encode()),
        headers={"content-type": "application/json"},
    )

    assert streamed.status_code == alice.post("/api/v1/llm/keys", json=whole).status_code == 422
    assert streamed.json()["error"]["param"] == "/name"


@pytest.mark.parametrize("field", ["Content-Length: 99", "Transfer-Encoding: chunked"])
def test_gives_up_on_a_body_that_does_not_come(
    client_for: SignIn, gateway: str, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setattr(incoming, "_SECONDS", 0.2)
    address = urlsplit(gateway)
    token = client_for("alice@example.com").headers["authorization"]
    head = "POST /api/v1/llm/keys HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: {token}\r\n{field}\r\n\r\n"

    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"caller_request_malformed"' in answer
    assert b"\r\nconnection: close\r\n" in answer


def _pieces_of(content: bytes) -> Iterator[bytes]:
    for place in range(0, len(content), 10_000):
        yield content[place : place + 10_000]
