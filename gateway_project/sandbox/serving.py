"""A real server for an ASGI application, in a thread of this process, on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import uvicorn

from gateway_project.sandbox.processes import StartFailed

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import ASGIApp

T = TypeVar("T")

_GRACE_SECONDS: Final = 1
_START_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.005


class LoopbackServer:
    """Serves an application until ``stop``; also a context manager.

    The port is taken at once and answers only after ``start``, so that an address can be made
    known before what stands behind it exists.

    Args:
        port: port on 127.0.0.1; 0 takes a free one.
    """

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self, app: ASGIApp) -> Self:
        """Serve ``app`` and return when it answers.

        Raises:
            StartFailed: its start-up failed or takes too long.
        """
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", timeout_graceful_shutdown=_GRACE_SECONDS
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=server.run, args=([self._socket],), name=self.url, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise StartFailed(f"The server at {self.url} did not start.")
            time.sleep(_POLL_SECONDS)
        return self

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's event loop and return its result."""
        assert self._server is not None, "start first"  # noqa: S101
        loop = self._server.servers[0].get_loop()
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(_START_SECONDS)

    def stop(self) -> None:
        """End the server: open requests get a second, then they are cut."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
