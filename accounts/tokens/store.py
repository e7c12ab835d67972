"""The published keys of the sign-in service, kept fresh without making callers wait.

A set is served as it is up to the soft TTL, served stale and renewed behind the callers up to the
hard TTL, and not trusted after that: then callers wait for a fetch, or get 503. Only one fetch runs
at a time, each on a thread of its own, so threads and coroutines share it and none of them blocks
an event loop. Tokens can't make the store fetch more than once in ``UNKNOWN_KID_PAUSE_SECONDS``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import random
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from accounts.tokens.fetch import fetch_jwks, is_trustworthy
from accounts.tokens.jwks import SigningKey, parse_jwks
from gateway_core.errors import KeysUnavailable
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    Flight = concurrent.futures.Future[None]

WAIT_SECONDS: Final = 2.5
UNKNOWN_KID_PAUSE_SECONDS: Final = 10.0
# A kid that was looked for in vain. Not banned for longer: Supabase's edge may publish a new key
# up to ten minutes late.
MISSING_TTL_SECONDS: Final = 60.0
MISSING_LIMIT: Final = 1024
BACKOFF_MIN_SECONDS: Final = 1.0
BACKOFF_MAX_SECONDS: Final = 30.0
# A fetch whose answer drips in for so long is given up and its result ignored.
FLIGHT_LIMIT_SECONDS: Final = 15.0

_log = get_logger("accounts.tokens")
_stores: weakref.WeakSet[JwksStore] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class StoreState:
    """What readiness and metrics show. ``age_seconds`` is None while there is no set.

    ``last_error`` is the class name of the last failure, empty after a success.
    """

    keys: int
    age_seconds: float | None
    is_trusted: bool
    fetches: int
    failures: int
    last_error: str


class JwksStore:
    """The keys behind one URL.

    Args:
        url: where the JWKS is, by https, or by http on this host.
        soft_ttl_seconds, hard_ttl_seconds: see the module.
        fetch: returns the document of a URL; any exception counts as an outage.
        clock: monotonic seconds.

    Raises:
        ValueError: the URL is not trustworthy.
    """

    def __init__(
        self,
        url: str,
        *,
        soft_ttl_seconds: float = 300.0,
        hard_ttl_seconds: float = 1200.0,
        fetch: Callable[[str], bytes] = fetch_jwks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not is_trustworthy(url):
            raise ValueError("Keys are fetched by https only, except from this host.")
        self._url = url
        self._soft = soft_ttl_seconds
        self._hard = hard_ttl_seconds
        self._fetch = fetch
        self._clock = clock
        self._fetches = 0
        self._failures_ever = 0
        self._lock = threading.Lock()
        self._forget()
        _stores.add(self)

    def find(self, kid: str) -> SigningKey | None:
        """Return the key of that id, None when it is certain that there is none. Blocks.

        Raises:
            KeysUnavailable: the key server does not answer, so nobody can say.
        """
        flight = self._flight_for(kid)
        if flight is not None:
            concurrent.futures.wait([flight], timeout=WAIT_SECONDS)
        return self._settle(kid)

    async def afind(self, kid: str) -> SigningKey | None:
        """Return and raise as ``find`` does, without blocking the event loop."""
        flight = self._flight_for(kid)
        if flight is not None:
            # Neither a timeout nor the caller's own end cancels the fetch: others wait for it too.
            await asyncio.wait([asyncio.wrap_future(flight)], timeout=WAIT_SECONDS)
        return self._settle(kid)

    def trusts(self, key: SigningKey) -> bool:
        """Say whether this very key is still published. Never waits, and renews a set behind."""
        if self._clock() >= self._refresh_at:
            self._flight_for(key.kid)
        return self._keys.get(key.kid) is key

    async def state(self) -> StoreState:
        """Return the state, after a fetch if there is no set that is trusted."""
        flight = self._flight_for("")
        if flight is not None:
            await asyncio.wait([asyncio.wrap_future(flight)], timeout=WAIT_SECONDS)
        now = self._clock()
        return StoreState(
            keys=len(self._keys),
            age_seconds=None if self._loaded_at is None else now - self._loaded_at,
            is_trusted=self._is_trusted(now),
            fetches=self._fetches,
            failures=self._failures_ever,
            last_error=self._last_error,
        )

    def _forget(self) -> None:
        self._keys: dict[str, SigningKey] = {}
        self._missing: dict[str, float] = {}
        self._loaded_at: float | None = None
        self._attempted_at = float("-inf")
        self._not_before = float("-inf")
        self._refresh_at = float("inf")
        self._failures = 0
        self._last_error = ""
        self._flight: Flight | None = None
        self._flight_started = 0.0

    def _is_trusted(self, now: float) -> bool:
        return self._loaded_at is not None and now - self._loaded_at < self._hard

    def _flight_for(self, kid: str) -> Flight | None:
        """Begin or join the fetch that an answer about this kid has to wait for, if any."""
        with self._lock:
            now = self._clock()
            if not self._is_trusted(now):
                return self._begin(now)
            if now >= self._refresh_at:
                self._begin(now)
            if kid in self._keys or not kid or self._missing.get(kid, 0.0) > now:
                return None
            if now - self._attempted_at < UNKNOWN_KID_PAUSE_SECONDS:
                return self._flight
            return self._begin(now)

    def _begin(self, now: float) -> Flight | None:
        """Return the fetch that runs, begun now if need be, None while the store backs off."""
        if self._flight is not None and now - self._flight_started < FLIGHT_LIMIT_SECONDS:
            return self._flight
        if now < self._not_before:
            return None
        flight: Flight = concurrent.futures.Future()
        self._flight, self._flight_started = flight, now
        self._attempted_at = now
        self._fetches += 1
        threading.Thread(target=self._fly, args=(flight,), name="jwks", daemon=True).start()
        return flight

    def _fly(self, flight: Flight) -> None:
        try:
            keys = parse_jwks(self._fetch(self._url))
        except Exception as exc:  # noqa: BLE001 - the end of a thread: whatever it was, callers wait
            self._land(flight, None, exc)
        else:
            self._land(flight, keys, None)
        flight.set_result(None)

    def _land(
        self, flight: Flight, keys: dict[str, SigningKey] | None, error: Exception | None
    ) -> None:
        with self._lock:
            if self._flight is not flight:
                return
            self._flight = None
            if keys is None:
                self._fail(type(error).__name__)
            else:
                self._replace(keys)

    def _replace(self, keys: dict[str, SigningKey]) -> None:
        now = self._clock()
        # An unchanged key stays the same object, which is what ``trusts`` compares.
        self._keys = {
            kid: old if (old := self._keys.get(kid)) == key else key for kid, key in keys.items()
        }
        self._loaded_at = now
        self._refresh_at = now + self._soft
        self._not_before = float("-inf")
        if self._failures:
            _log.info("jwks_recovered", failures=self._failures)
        self._failures = 0
        self._last_error = ""

    def _fail(self, error: str) -> None:
        self._failures += 1
        self._failures_ever += 1
        self._last_error = error
        pause = min(BACKOFF_MAX_SECONDS, BACKOFF_MIN_SECONDS * 2 ** min(self._failures - 1, 8))
        # Jitter, so that many processes don't come back in step.
        self._not_before = self._clock() + pause * random.uniform(0.7, 1.0)  # noqa: S311
        if self._loaded_at is not None:
            self._refresh_at = max(self._refresh_at, self._not_before)
        if self._failures == 1:  # the log says once that it is away; ``state`` says the rest
            _log.warning("jwks_fetch_failed", error=error)

    def _settle(self, kid: str) -> SigningKey | None:
        with self._lock:
            now = self._clock()
            if not self._is_trusted(now):
                raise KeysUnavailable(retry_after=max(1.0, self._not_before - now))
            key = self._keys.get(kid)
            if key is not None:
                return key
            if self._missing.get(kid, 0.0) > now:
                return None
            if self._flight is not None or self._failures:
                raise KeysUnavailable(retry_after=max(1.0, self._not_before - now))
            self._remember_missing(kid, now)
            return None

    def _remember_missing(self, kid: str, now: float) -> None:
        self._missing.pop(kid, None)
        if len(self._missing) >= MISSING_LIMIT:
            self._missing.pop(next(iter(self._missing)))
        self._missing[kid] = now + MISSING_TTL_SECONDS

    def _begin_anew_after_fork(self) -> None:
        # The thread of a running fetch does not live on in the child, and its lock may be held.
        self._lock = threading.Lock()
        self._forget()


def _after_fork() -> None:
    for store in list(_stores):
        store._begin_anew_after_fork()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_after_fork)
