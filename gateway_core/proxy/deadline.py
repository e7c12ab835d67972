"""How long an upstream may take: until its answer begins, between two pieces, and in all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from gateway_core.errors import UpstreamTimeout

if TYPE_CHECKING:
    from types import TracebackType

    from gateway_core.proxy.exchange import Timeouts

# A timer is moved only when that makes a difference: pieces come by the thousand.
_GRAIN: Final = 0.1


class Deadline:
    """Ends the block it guards with UpstreamTimeout when the upstream takes too long."""

    __slots__ = ("_end", "_now", "_timeout", "_timeouts")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        now = self._now()
        self._end = now + timeouts.total
        self._timeout = asyncio.timeout_at(min(now + timeouts.first_byte, self._end))

    def upload_moved(self) -> None:
        """A piece of the request has gone out: the answer can't have been expected yet."""
        self._move(self._timeouts.first_byte)

    def answer_moved(self) -> None:
        """A piece of the answer has come."""
        self._move(self._timeouts.idle)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, value, traceback)
        except TimeoutError as exc:
            raise UpstreamTimeout from exc

    def _move(self, seconds: float) -> None:
        at = min(self._now() + seconds, self._end)
        if abs(at - (self._timeout.when() or 0)) > _GRAIN * seconds:
            self._timeout.reschedule(at)
