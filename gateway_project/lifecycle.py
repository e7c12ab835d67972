"""What a process opens and closes: upstream pools and the ear for invalidations.

Servers that speak the lifespan protocol announce start and stop; with daphne, which does not, the
first request starts things and the process's end closes them.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Final

from gateway_core import background, cache, valkey
from gateway_core.audit import trail
from gateway_core.jobs import worker
from gateway_core.logging import get_logger
from gateway_core.memory import MEMORY
from gateway_core.rates import LIMITER
from gateway_core.tasks import cancel, finish, spawn
from gateway_project.system import trips
from gateway_project.upstreams import keep_up, upstreams
from llm_proxy.usage import collector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway_core.asgi import Application, Receive, Scope, Send

    Work = Callable[[], Coroutine[Any, Any, None]]

_log = get_logger("gateway.start")
# What goes on beside the requests for as long as they are served.
_KEPT_UP: Final[dict[str, Work]] = {
    "cache-invalidation": cache.listen,
    "breakers": keep_up,
    "trips": trips.keep_up,
    "rates": LIMITER.keep,
    "memory": MEMORY.keep,
}
_CANCEL_SECONDS: Final = 2.0
# For what requests have begun to do beside themselves.
_FINISH_SECONDS: Final = 5.0
_AGAIN_SECONDS = 1.0
_GC_THRESHOLDS = (20_000, 20, 20)


class Lifecycle:
    """Answers lifespan events and starts the process's background work once for each loop.

    Args:
        fault: asked before a server starts: why it must not, None when it may.
    """

    def __init__(
        self, application: Application, *, fault: Callable[[], Awaitable[str | None]] | None = None
    ) -> None:
        self._application = application
        self._fault = fault
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the process's own life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if self._loop is not asyncio.get_running_loop():
            self._start()
        await self._application(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if fault := await self._why_not():
                    await send({"type": "lifespan.startup.failed", "message": fault})
                    return
                self._start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _why_not(self) -> str | None:
        try:
            return await self._fault() if self._fault else None
        except Exception as exc:  # noqa: BLE001 - not to know is no reason not to serve
            _log.warning("start not checked", error=str(exc))
            return None

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        background.serve()
        _freeze()
        self._tasks = [spawn(_keep(work, name), name=name) for name, work in _KEPT_UP.items()]
        trail.start()
        collector.start()
        worker.start()

    async def _stop(self) -> None:
        """End what goes on beside the requests, of which none is under way any more.

        What they have begun, such as cancelling a run at Letta, still needs the pools; usage and
        audit still need what that records.
        """
        background.stop_serving()
        worker.stop()
        await cancel(self._tasks, _CANCEL_SECONDS)
        await finish(_FINISH_SECONDS)
        for upstream in upstreams():
            await upstream.close()
        await valkey.close()
        await asyncio.to_thread(collector.stop)
        await asyncio.to_thread(trail.stop)


async def _keep(work: Work, name: str) -> None:
    """Do work that ends with the process only, and begin it again whatever ends it before."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - the process would go on without it, unseen
            _log.exception("begun again", work=name)
        await asyncio.sleep(_AGAIN_SECONDS)


def _freeze() -> None:
    """Take what was loaded at start out of the garbage collector's rounds, and make these rarer.

    Django and its models are some hundred thousand objects that live as long as the process. With
    the collector's defaults a third of the pipeline's CPU time was spent on looking for garbage
    (measured: 164 µs of a request without network, 104 µs so).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
