"""The watch over this process's memory: when it is short, nothing new begins until some is free.

What all requests hold in bodies is bounded (``gateway_core.room``); this looks at what comes of it,
and of everything else. Requests read one flag.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import math
import time
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil
from django.conf import settings

from gateway_core import metrics
from gateway_core.errors import GatewayOverloaded
from gateway_core.logging import get_logger
from gateway_core.memory.container import Container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_log = get_logger("gateway.memory")

_LOOK_SECONDS: Final = 0.5
# Of the bound: with less than that, it is enough again.
_ENOUGH_PART: Final = 0.9
# Giving back holds everybody up: at most an eleventh of the time.
_REST_TIMES: Final = 10
# What holds it are requests, which have to end first.
_AGAIN_SECONDS: Final = 5


class Usage(NamedTuple):
    """Memory beside its bound, in bytes.

    Attributes:
        of: whose memory it is: ``process`` or ``container``.
    """

    of: str
    used: int
    bound: int

    @property
    def part(self) -> float:
        """How much of what there may be is used; 1 is all of it."""
        return self.used / max(1, self.bound)


_UNBOUNDED: Final = Usage("process", 0, 1)


def usages() -> Iterator[Usage]:
    """Yield what the settings bound, as it is now."""
    if settings.MAX_MEMORY_BYTES:
        yield Usage("process", psutil.Process().memory_info().rss, settings.MAX_MEMORY_BYTES)
    memory = _container().memory() if settings.MAX_MEMORY_PART else None
    if memory is not None:
        yield Usage("container", memory.used, int(memory.limit * settings.MAX_MEMORY_PART))


def give_back() -> None:
    """Free what only the garbage collector can, and give the system back what was freed.

    glibc keeps a block while anything above it is in use; other C libraries have no such call, nor
    that habit. Measured on a process of 143 MiB that had held 16 bodies of 19 MiB for callers who
    left: 178 to 413 MiB for good, 162 with the second half of this, 143 with both; of texts of 2.2
    GB all but 55 MB. It takes milliseconds, half a one for each MiB that is given back, and half a
    second where millions of small objects are in use.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(ctypes.c_size_t(0))


class MemoryWatch:
    """Says whether memory is short: from a bound being reached until some below it.

    Args:
        usages: returns everything that has a bound, as it is now.
        give_back: makes what is used the least it can be.
        clock: seconds, monotonic.

    Attributes:
        is_short: nothing new may begin.
    """

    def __init__(
        self,
        *,
        usages: Callable[[], Iterable[Usage]] = usages,
        give_back: Callable[[], None] = give_back,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._usages = usages
        self._give_back = give_back
        self._clock = clock
        self._since = 0.0
        self._rests_until = -math.inf
        self.is_short = False

    def refuse(self) -> None:
        """Refuse a request that would begin something, while memory is short.

        Raises:
            GatewayOverloaded: it is.
        """
        if self.is_short:
            raise GatewayOverloaded(
                "The gateway is short of memory, and begins nothing new until some is free. "
                "Repeat the request later.",
                retry_after=_AGAIN_SECONDS,
            )

    def short_seconds(self) -> float:
        """Return for how long it has been short; 0 while it is not."""
        return self._clock() - self._since if self.is_short else 0.0

    async def keep(self) -> None:
        """Look all the time."""
        try:
            while True:
                self.look()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            # Nobody would notice that it is enough again.
            self._set(is_short=False)

    def look(self) -> None:
        """Find out how things are. What is only kept for later use is given back first."""
        worst = self._worst()
        if (self.is_short or worst.part >= 1) and self._clock() >= self._rests_until:
            self._give_back_timed()
            worst = self._worst()
        metrics.MEMORY_RATIO.set(worst.part)
        if not self.is_short and worst.part >= 1:
            self._since = self._clock()
            self._set(is_short=True)
            metrics.MEMORY_SHORTAGES.inc()
            _log.warning("short of memory", of=worst.of, used=worst.used, bound=worst.bound)
        elif self.is_short and worst.part < _ENOUGH_PART:
            seconds = round(self.short_seconds(), 1)
            self._set(is_short=False)
            _log.info("enough memory again", used=worst.used, bound=worst.bound, seconds=seconds)

    def _give_back_timed(self) -> None:
        begun = self._clock()
        self._give_back()
        ended = self._clock()
        self._rests_until = ended + _REST_TIMES * (ended - begun)

    def _worst(self) -> Usage:
        return max(self._usages(), key=lambda usage: usage.part, default=_UNBOUNDED)

    def _set(self, *, is_short: bool) -> None:
        self.is_short = is_short
        metrics.MEMORY_SHORT.set(is_short)


MEMORY: Final = MemoryWatch()


@cache
def _container() -> Container:
    return Container()
