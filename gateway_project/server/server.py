"""A process that serves, and its end: red readiness, no new requests, time for those under way.

    signal ─ notice ─▶ port closed ─ drain ─▶ the rest is ended ─▶ spool, usage and pools closed

From the signal on each answer says that its connection ends with it, so that few are left open when
the notice is over. A client that could not be told so (its answer had begun, or none was under way)
may send one more request: it is served, and the connection closed when none comes for a while.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from gateway_core.errors import GatewayStopping
from gateway_core.logging import get_logger
from gateway_core.proxy import guard
from gateway_project import incoming
from gateway_project.server import stopping
from gateway_project.server.protocol import BoundedProtocol
from gateway_project.server.state import State

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType

    from gateway_project.server.config import Config

_log = get_logger("gateway.server")

_TICKS_PER_LOOK: Final = 10  # of a tenth of a second each
_POLL_SECONDS: Final = 0.02
# For the last words of what is ended.
_ENDING_SECONDS: Final = 2.0
_WRITING_SECONDS: Final = 0.5
# For what is flushed; each part of it has its own bound below that.
_FLUSHING_SECONDS: Final = 20.0
# For threads that still wait for something; nobody waits for what they find.
_LEAVING_SECONDS: Final = 2.0
_KILLED: Final = 128  # what shells add to the number of a signal


class Server(uvicorn.Server):
    """Serves until a signal; a second one ends the process at once.

    Attributes:
        has_failed: something was left undone at the end.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.server_state = State()
        self.has_failed = False
        self._serves_until: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. What is on the audit's spool is safe in any case."""
        del frame
        if self.should_exit:
            os._exit(_KILLED + sig)
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Look after connections; say whether it is time to take nothing new."""
        is_told = await super().on_tick(counter)
        now = asyncio.get_running_loop().time()
        if counter % _TICKS_PER_LOOK == 0:
            self._look(now)
        return is_told and self._is_notice_over(now)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no connections, give what is under way its time, end the rest, and flush."""
        self._accept_no_more(sockets or [])
        if not await self._until(self._is_drained, self.config.farewell.drain_seconds):
            await self._end()
        await self._flush()
        threading.Thread(target=_leave, args=(int(self.has_failed),), daemon=True).start()

    def _is_notice_over(self, now: float) -> bool:
        if self._serves_until is None:
            stopping.begin()
            self._serves_until = now + self.config.farewell.notice_seconds
            for connection in self._connections():
                connection.say_close()
            _log.info("stopping", notice_seconds=self.config.farewell.notice_seconds)
        return now >= self._serves_until

    def _accept_no_more(self, sockets: list[socket.socket]) -> None:
        for server in self.servers:
            server.close()
        for sock in sockets:
            sock.close()
        _log.info("draining", under_way=len(self.server_state.tasks))

    async def _end(self) -> None:
        _log.warning("ending what is still under way", under_way=len(self.server_state.tasks))
        error = GatewayStopping(retry_after=1)
        for connection in self._connections():
            connection.refuse()
        guard.end_all(error)
        await incoming.end_all(error)
        for other in list(self.server_state.connections):
            if not isinstance(other, BoundedProtocol):
                other.shutdown()  # of a WebSocket, which closes it with 1012
        await self._until(self._is_quiet, _ENDING_SECONDS)
        for left in self._connections():
            left.end()
        await self._until(self._is_quiet, _WRITING_SECONDS)

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(_FLUSHING_SECONDS):
                await self.lifespan.shutdown()
        except TimeoutError:
            _log.error("not everything was flushed; the next process goes on with it")
            self.has_failed = True
        self.has_failed = self.has_failed or self.lifespan.should_exit
        _log.info("stopped")

    def _is_drained(self) -> bool:
        """Say whether nothing is left, having closed what is not used any more."""
        now = asyncio.get_running_loop().time()
        self._look(now)
        for connection in self._connections():
            connection.close_if_unused(now, self.config.farewell.kept_seconds)
        return self._is_quiet()

    def _look(self, now: float) -> None:
        for connection in self._connections():
            connection.look(now)

    def _is_quiet(self) -> bool:
        return not self.server_state.tasks and not self.server_state.connections

    def _connections(self) -> Iterator[BoundedProtocol]:
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                yield connection

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True


class Worker(Server):
    """One of several processes, which hear of the end from their parent.

    A terminal sends Ctrl-C to all of them, and a service manager its signal: here that is no second
    one. The parent kills them when it gets a second one itself.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._parent = os.getppid()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Heed SIGTERM, however often it comes."""
        del frame
        if sig == signal.SIGTERM:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Stop, too, when nobody is left who would say so."""
        if os.getppid() != self._parent:
            self.should_exit = True
        return await super().on_tick(counter)


def _leave(status: int) -> None:
    """End the process even if threads of it don't."""
    threading.Event().wait(_LEAVING_SECONDS)
    os._exit(status)
