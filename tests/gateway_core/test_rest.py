"""What a failed call means decides whether it may be repeated, so the kinds are told apart."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from gateway_core.errors import (
    UpstreamAnswerTooLong,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway_core.rest import RestClient

Behave = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Behave], str]]:
    listeners: list[socket.socket] = []
    released = threading.Event()

    def start(behave: Behave) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                behave(connection)
                if behave in (stalls_before_the_head, stalls_in_the_body):
                    released.wait(5)

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    released.set()
    for listener in listeners:
        listener.close()


def hangs_up(_connection: socket.socket) -> None:
    """Close without a word."""


def breaks_in_the_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")


def stalls_before_the_head(_connection: socket.socket) -> None:
    """Say nothing."""


def stalls_in_the_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")


def floods(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000)


@pytest.mark.parametrize(
    ("behave", "meaning"),
    [
        (hangs_up, UpstreamInterrupted),
        (breaks_in_the_body, UpstreamInterrupted),
        (stalls_before_the_head, UpstreamTimeout),
        (stalls_in_the_body, UpstreamTimeout),
        (floods, UpstreamAnswerTooLong),
    ],
)
def test_says_what_happened_to_a_call_that_was_sent(
    serve: Callable[[Behave], str], behave: Behave, meaning: type[UpstreamError]
) -> None:
    client = RestClient(serve(behave), read_timeout=0.05, limit=1000)
    with pytest.raises(UpstreamError) as failure:
        client.call("POST", "/", payload={})
    client.close()
    assert type(failure.value) is meaning


def test_says_that_nothing_was_sent_when_nobody_listens() -> None:
    client = RestClient("http://127.0.0.1:1")
    with pytest.raises(UpstreamUnreachable):
        client.call("GET", "/")
    client.close()


def test_hands_on_a_redirect_as_an_answer(serve: Callable[[Behave], str]) -> None:
    def redirects(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        )

    client = RestClient(serve(redirects))
    assert client.call("GET", "/").status == 302
    client.close()
