"""Process-local caches, kept honest by a broadcast.

A look-up costs less than a microsecond; a shared cache would cost more than what is cached here.
Staff's changes reach every process through ``invalidate``. While Valkey is away nobody hears of
them: then a process forgets everything each time it has tried in vain to reach it, every few
seconds, and once more when it is back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import orjson
import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway_core import valkey
from gateway_core.logging import get_logger
from gateway_core.metrics import CACHE_LOOKUPS
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from redis.asyncio.client import PubSub

_log = get_logger("gateway.cache")
_CHANNEL: Final = "gateway:invalidate"
_RECONNECT_SECONDS: Final = (0.2, 5.0)
# After which a connection on which nothing comes has to prove that it lives.
_SILENCE_SECONDS: Final = 2.0

KeyT = TypeVar("KeyT", bound="Hashable")
ValueT = TypeVar("ValueT")

_hooks: defaultdict[str, list[Callable[[str], None]]] = defaultdict(list)
_clearers: list[Callable[[], None]] = []


class LocalCache(Generic[KeyT, ValueT]):
    """Least-recently-used entries with an age limit.

    ``load`` and ``load_sync`` make what is missing. What they began to make before anything was
    forgotten may rest on what was to be forgotten: it is neither kept nor shared after that.

    Args:
        name: unique in the process.
        ttl: returns the age limit in seconds.
        max_entries: how many are kept.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        *,
        ttl: Callable[[], float],
        max_entries: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._ttl = ttl
        self._max_entries = max_entries
        self._clock = clock
        # The event loop and the control plane's threads share a cache.
        self._lock = threading.Lock()
        self._entries: OrderedDict[KeyT, tuple[float, ValueT]] = OrderedDict()
        self._making: dict[KeyT, asyncio.Task[ValueT]] = {}
        self._epoch = 0
        self._hits = CACHE_LOOKUPS.labels(name, "hit")
        self._misses = CACHE_LOOKUPS.labels(name, "miss")
        _clearers.append(self.clear)

    async def load(self, key: KeyT, make: Callable[[], Awaitable[ValueT]]) -> ValueT:
        """Return the value; have it made when it is not there, once for all who ask meanwhile.

        The making goes on when whoever began it is cancelled. Raises what ``make`` does.
        """
        value = self._looked_up(key)
        if value is not None:
            return value
        task = self._making.get(key)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._making[key] = spawn(self._made(key, make), name=self.name)
            task.add_done_callback(lambda done: self._end_making(key, done))
        return await asyncio.shield(task)

    def load_sync(self, key: KeyT, make: Callable[[], ValueT]) -> ValueT:
        """Return the value, made in this thread when it is not there. Raises what ``make`` does."""
        value = self._looked_up(key)
        if value is None:
            epoch = self._epoch
            value = make()
            self._keep(key, value, epoch)
        return value

    def get(self, key: KeyT) -> ValueT | None:
        """Return the value, or None when it is not there or too old."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[0] <= self._clock():
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: KeyT, value: ValueT, *, ttl: float | None = None) -> None:
        """Keep a value for ``ttl`` seconds, at the most for the cache's own age limit."""
        limit = self._ttl()
        seconds = limit if ttl is None else min(ttl, limit)
        with self._lock:
            self._insert(key, value, seconds)

    def forget(self, key: KeyT) -> None:
        """Drop one entry."""
        with self._lock:
            self._outdate()
            self._entries.pop(key, None)

    def forget_where(self, matches: Callable[[ValueT], bool]) -> None:
        """Drop every entry whose value matches."""
        with self._lock:
            self._outdate()
            for key in [key for key, (_, value) in self._entries.items() if matches(value)]:
                del self._entries[key]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._outdate()
            self._entries.clear()

    def _looked_up(self, key: KeyT) -> ValueT | None:
        value = self.get(key)
        (self._misses if value is None else self._hits).inc()
        return value

    async def _made(self, key: KeyT, make: Callable[[], Awaitable[ValueT]]) -> ValueT:
        epoch = self._epoch
        value = await make()
        self._keep(key, value, epoch)
        return value

    def _keep(self, key: KeyT, value: ValueT, epoch: int) -> None:
        seconds = self._ttl()
        with self._lock:
            if epoch == self._epoch:
                self._insert(key, value, seconds)

    def _insert(self, key: KeyT, value: ValueT, seconds: float) -> None:
        self._entries[key] = (self._clock() + seconds, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def _end_making(self, key: KeyT, task: asyncio.Task[ValueT]) -> None:
        if self._making.get(key) is task:
            del self._making[key]
        if not task.cancelled():
            task.exception()  # seen, also when nobody waits any more

    def _outdate(self) -> None:
        self._epoch += 1
        self._making.clear()


def on_invalidate(subject: str, forget: Callable[[str], None]) -> None:
    """Call ``forget(key)`` in this process whenever any process invalidates that subject."""
    _hooks[subject].append(forget)


def invalidate(subject: str, key: str) -> None:
    """Have every process forget what it knows of ``key``. Synchronous; call it after the commit.

    This process forgets at once. Without Valkey the others do within seconds, with all else.
    """
    _forget(subject, key)
    if not settings.REDIS_URL:
        return
    try:
        valkey.sync_client().publish(_CHANNEL, orjson.dumps([subject, key]))
    except redis.RedisError as exc:
        _log.warning("invalidation not broadcast", subject=subject, error=str(exc))


def on_clear(forget: Callable[[], None]) -> None:
    """Call ``forget`` whenever everything is forgotten: nobody knows what has changed meanwhile."""
    _clearers.append(forget)


def clear_all() -> None:
    """Drop every entry of every cache of this process."""
    for clear in _clearers:
        clear()


async def listen() -> None:
    """Hear other processes' invalidations, until it is cancelled."""
    pause, longest = _RECONNECT_SECONDS
    is_deaf = False
    while settings.REDIS_URL:
        try:
            async with (
                # Were it to reconnect by itself, what was missed meanwhile would stay unknown.
                redis.asyncio.Redis.from_url(
                    settings.REDIS_URL, retry=Retry(NoBackoff(), 0)
                ) as client,
                client.pubsub(ignore_subscribe_messages=True) as channel,
            ):
                async with asyncio.timeout(_SILENCE_SECONDS):
                    await channel.subscribe(_CHANNEL)
                clear_all()
                pause, is_deaf = _RECONNECT_SECONDS[0], False
                await _hear(channel)
        except Exception as exc:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # and closing the connection failed
                raise asyncio.CancelledError from exc
            if not is_deaf:
                _log.warning("not hearing invalidations", error=f"{type(exc).__name__}: {exc}")
            is_deaf = True
            clear_all()
        await asyncio.sleep(pause)
        pause = min(pause * 2, longest)


async def _hear(channel: PubSub) -> None:
    """Take messages in; a connection that is dead without saying so fails the next ping."""
    is_waiting_for_pong = False
    while True:
        message = await channel.get_message(timeout=_SILENCE_SECONDS)
        if message is None and is_waiting_for_pong:
            raise redis.ConnectionError("no answer to a ping")
        is_waiting_for_pong = message is None
        if message is None:
            await channel.ping()
        elif message["type"] == "message":
            _forget(*orjson.loads(message["data"]))


def _forget(subject: str, key: str) -> None:
    for forget in _hooks.get(subject, ()):
        forget(key)
