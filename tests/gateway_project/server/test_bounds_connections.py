"""How long a client may keep a connection without a request, and how many there may be."""

from __future__ import annotations

import time

from tests.gateway_project.server.conftest import Serve, wait_until
from tests.gateway_project.server.wire import Wire

HEALTH = b"GET /api/v1/system/health HTTP/1.1\r\nHost: localhost\r\n"
_PROMPT_SECONDS = 8


def test_closes_connections_that_keep_it_waiting(serve: Serve) -> None:
    served = serve(HEAD_SECONDS="0.5", KEEP_ALIVE_SECONDS="2")
    began = time.monotonic()
    with (
        Wire(served.port) as silent,
        Wire(served.port) as slow,
        Wire(served.port) as blank,
        Wire(served.port) as unread,
        Wire(served.port) as unused,
    ):
        slow.send(HEALTH)
        blank.send(HEALTH + b"\r\n")
        assert blank.answer() is not None
        blank.send(b"\r\n")
        # The answer comes before the body, the rest of which never does.
        unread.send(b"POST /api/v1/llm/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
        unread.send(b"Content-Length: 1000000\r\n\r\n{")
        refusal = unread.answer()
        unused.send(HEALTH + b"\r\n")
        assert unused.answer() is not None

        assert refusal is not None
        assert refusal[0] == 401
        answer = slow.answer()
        assert answer is not None
        assert (answer[0], answer[1]["connection"]) == (408, "close")
        for wire in (silent, slow, blank, unread, unused):
            assert wire.answer() is None
    assert time.monotonic() - began < _PROMPT_SECONDS


def test_refuses_requests_on_connections_over_the_bound(serve: Serve) -> None:
    served = serve(MAX_CONNECTIONS="2")
    with Wire(served.port) as first, Wire(served.port) as second, Wire(served.port) as third:
        for wire in (first, second):
            wire.send(HEALTH + b"\r\n")
            served_answer = wire.answer()
            assert served_answer is not None
            assert served_answer[0] == 200

        third.send(HEALTH + b"\r\n")
        refused = third.answer()

        assert refused is not None
        assert refused[0] == 503
        assert b'"code":"gateway_overloaded"' in refused[2]
        assert third.answer() is None

    wait_until(lambda: _is_served(served.port))


def _is_served(port: int) -> bool:
    with Wire(port) as wire:
        wire.send(HEALTH + b"\r\n")
        answer = wire.answer()
        return answer is not None and answer[0] == 200
