"""Requests that are begun and wait, as their bytes go over the wire."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx


@contextmanager
def sent(url: str, path: str, *fields: str, body: bytes = b"") -> Iterator[socket.socket]:
    """Send a POST with these header fields and the beginning of its body."""
    address = urlsplit(url)
    head = "".join(
        f"{field}\r\n" for field in (f"POST {path} HTTP/1.1", "Host: localhost", *fields)
    )
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(f"{head}\r\n".encode() + body)
        yield connection


def answer_on(connection: socket.socket) -> httpx.Response:
    """Return the answer that comes, as a whole."""
    answer = HTTPResponse(connection)
    answer.begin()
    return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
