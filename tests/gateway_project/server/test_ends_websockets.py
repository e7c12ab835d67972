"""WebSockets, which end with the server, hear that it is a restart: clients then connect again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from gateway_project.sandbox.store import free_port
from tests.timing import wait_until

_CHECKOUT = Path(__file__).resolve().parents[3]


def test_closes_websockets_as_a_restart_does() -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.gateway_project.server.websocket_server", str(port)]
    server = subprocess.Popen(command, cwd=_CHECKOUT)
    opened: list[ClientConnection] = []
    try:
        wait_until(lambda: _opens(port, opened))
        server.terminate()

        with pytest.raises(ConnectionClosed) as closed:
            opened[0].recv(timeout=20)

        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CloseCode.SERVICE_RESTART
        assert server.wait(20) == 0
    finally:
        for connection in opened:
            connection.close()
        server.kill()
        server.wait()


def _opens(port: int, opened: list[ClientConnection]) -> bool:
    try:
        opened.append(connect(f"ws://127.0.0.1:{port}/", proxy=None))
    except OSError:
        return False
    return True
