"""Which breakers staff have tripped: kept in PostgreSQL, and known to each process.

These are decisions, and hold until staff take them back, whatever becomes of Valkey and of this
process. A process reads them when it starts, when any process says that they have changed, and
when it can't have heard of that.
"""

from __future__ import annotations

import asyncio
from typing import Final

from channels.db import database_sync_to_async

from gateway_core.cache import LocalCache, invalidate, on_invalidate
from gateway_core.logging import get_logger
from gateway_project.system.models import BreakerTrip
from gateway_project.upstreams import breakers

_log = get_logger("gateway.breaker")

# What processes tell each other; the key is the breaker's name.
_SUBJECT: Final = "breaker_trips"
_LOOK_SECONDS: Final = 0.5
# How old they get where there is no Valkey, and processes can't tell each other.
_TTL_SECONDS: Final = 30.0
_ALL: Final = "all"

_known: Final[LocalCache[str, dict[str, str]]] = LocalCache(
    _SUBJECT, ttl=lambda: _TTL_SECONDS, max_entries=1
)
on_invalidate(_SUBJECT, lambda _name: _known.clear())


async def keep_up() -> None:
    """Have the breakers of this process do what staff say, all the time."""
    is_failing = False
    while True:
        try:
            await _hear()
            is_failing = False
        except Exception as exc:  # noqa: BLE001 - what is known holds, whatever it is
            if not is_failing:
                _log.warning("trips not read; those that are known hold", error=str(exc))
            is_failing = True
        await asyncio.sleep(_LOOK_SECONDS)


def tell(name: str, reason: str | None) -> None:
    """Have all processes hear of a trip, or that it is over. Call it after the commit."""
    invalidate(_SUBJECT, name)
    breakers()[name].set_trip(reason)


async def _hear() -> None:
    while True:
        trips = await _known.load(_ALL, _read)
        if _known.get(_ALL) is trips:  # else they have changed since they were read
            break
    for name, breaker in breakers().items():
        breaker.set_trip(trips.get(name))


def _rows() -> dict[str, str]:
    return dict(BreakerTrip.objects.values_list("breaker", "reason"))


# Not "thread sensitive": that would queue it behind all else on one thread.
_read: Final = database_sync_to_async(_rows, thread_sensitive=False)
