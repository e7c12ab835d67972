"""How long an upstream may take: until its answer begins, between two pieces, and in all.

A timer for each request, moved with each piece of a stream, would be a good part of what relaying
costs. Deadlines are checked together instead, a few times a second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from gateway_core.errors import UpstreamTimeout

if TYPE_CHECKING:
    from types import TracebackType

    from gateway_core.proxy.exchange import Timeouts

_SWEEP_SECONDS: Final = 0.1

_NONE: Final[set[Deadline]] = set()
_running: dict[asyncio.AbstractEventLoop, set[Deadline]] = {}


class Deadline:
    """Ends the block it guards with UpstreamTimeout when the upstream takes too long."""

    __slots__ = ("_at", "_end", "_is_over", "_loop", "_task", "_timeouts")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + timeouts.total
        self._is_over = False
        self._task = asyncio.current_task()
        self._move(timeouts.first_byte)

    def upload_moved(self) -> None:
        """A piece of the request has gone out: the answer can't have been expected yet."""
        self._move(self._timeouts.first_byte)

    def answer_moved(self) -> None:
        """A piece of the answer has come."""
        self._move(self._timeouts.idle)

    async def __aenter__(self) -> Self:
        running = _running.get(self._loop)
        if running is None:
            running = _running[self._loop] = set()
            self._loop.call_later(_SWEEP_SECONDS, _sweep, self._loop)
        running.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        _running.get(self._loop, _NONE).discard(self)
        if self._is_over and self._task is not None:
            # Our own cancel is taken back; any other, like the server's, goes on.
            is_ours = self._task.uncancel() == 0
            if is_ours and kind is asyncio.CancelledError:
                raise UpstreamTimeout from value

    def _move(self, seconds: float) -> None:
        self._at = min(self._loop.time() + seconds, self._end)

    def _check(self, now: float) -> None:
        if self._at <= now and not self._is_over and self._task is not None:
            self._is_over = True
            self._task.cancel()


def _sweep(loop: asyncio.AbstractEventLoop) -> None:
    running = _running[loop]
    if not running:
        del _running[loop]
        return
    now = loop.time()
    for deadline in list(running):
        deadline._check(now)  # noqa: SLF001 - the same module
    loop.call_later(_SWEEP_SECONDS, _sweep, loop)
