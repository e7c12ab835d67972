"""The connections to Valkey of a process, opened on first use.

There is a pool for each event loop, and one for all threads; and in each loop one connection for
calls that come one after the other.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Final, TypeAlias

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

# What waits for Valkey are requests: what it can't say at once is decided without it.
TIMEOUT_SECONDS: Final = 0.5

# What calls raise while it is away; to uvloop a connection that has been closed is a RuntimeError.
AWAY: Final = (redis.RedisError, OSError, RuntimeError)

_Clients: TypeAlias = dict[asyncio.AbstractEventLoop, redis.asyncio.Redis]
_clients: _Clients = {}
_single_clients: _Clients = {}


def client() -> redis.asyncio.Redis:
    """Return the running loop's client. Its calls raise what ``AWAY`` names."""
    return _of_loop(_clients, socket_timeout=TIMEOUT_SECONDS)


def single() -> redis.asyncio.Redis:
    """Return the running loop's client that makes one call at a time, for a fifth less.

    Its calls raise what ``AWAY`` names, too, and have no end of their own: the caller gives them
    one of ``TIMEOUT_SECONDS``.
    """
    return _of_loop(_single_clients, socket_timeout=None, single_connection_client=True)


def _of_loop(clients: _Clients, **options: Any) -> redis.asyncio.Redis:
    loop = asyncio.get_running_loop()
    found = clients.get(loop)
    if found is None:
        for old in [one for one in clients if one.is_closed()]:
            del clients[old]
        found = clients[loop] = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
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
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        **options,
    )


async def close() -> None:
    """Close the running loop's connections."""
    for clients in (_clients, _single_clients):
        found = clients.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.aclose()
