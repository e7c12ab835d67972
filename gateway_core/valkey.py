"""The connections to Valkey of a process, opened on first use.

There is a pool for each event loop, and one for all threads.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Final

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

# What waits for Valkey are requests: what it can't say at once is decided without it.
_TIMEOUT_SECONDS: Final = 0.5

# What calls raise while it is away; to uvloop a connection that has been closed is a RuntimeError.
AWAY: Final = (redis.RedisError, OSError, RuntimeError)

_clients: dict[asyncio.AbstractEventLoop, redis.asyncio.Redis] = {}


def client() -> redis.asyncio.Redis:
    """Return the running loop's client. Its calls raise what ``AWAY`` names."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        for old in [one for one in _clients if one.is_closed()]:
            del _clients[old]
        options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
        found = _clients[loop] = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            socket_timeout=_TIMEOUT_SECONDS,
            **options,
        )
    return found


def sync_client() -> redis.Redis:
    """Return the client of threads. Its calls raise ``redis.RedisError``."""
    return _sync_client(settings.REDIS_URL)


@cache
def _sync_client(url: str) -> redis.Redis:
    options: dict[str, Any] = {"retry": redis.retry.Retry(NoBackoff(), 0)}
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        socket_timeout=_TIMEOUT_SECONDS,
        **options,
    )


async def close() -> None:
    """Close the running loop's connections."""
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()
