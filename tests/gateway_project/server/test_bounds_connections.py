"""How long a client may keep a connection without a request."""

from __future__ import annotations

import time

from tests.gateway_project.server.conftest import Serve
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
        Wire(served.port) as hasty,
    ):
        slow.send(HEALTH)
        blank.send(HEALTH + b"\r\n")
        assert blank.answer() is not None
        blank.send(b"\r\n")
        # The answer comes before the body, the rest of which never does.
        unread.send(b"POST /api/v1/llm/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
        unread.send(b"Content-Length: 1000000\r\n\r\n{")
        refusal = unread.answer()
        hasty.send(HEALTH + b"\r\n" + HEALTH)
        assert hasty.answer() is not None
        unused.send(HEALTH + b"\r\n")
        assert unused.answer() is not None

        assert refusal is not None
        assert refusal[0] == 401
        for wire in (slow, hasty):
            answer = wire.answer()
            assert answer is not None
            assert (answer[0], answer[1]["connection"]) == (408, "close")
        for wire in (silent, slow, blank, unread, unused, hasty):
            assert wire.answer() is None
    assert time.monotonic() - began < _PROMPT_SECONDS
