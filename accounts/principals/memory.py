"""What this process remembers of tokens, by their SHA-256, and when it forgets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings

from accounts.sessions import liveness
from gateway_core.cache import LocalCache, on_invalidate
from gateway_core.metrics import CACHE_LOOKUPS
from gateway_core.proxy.guard import recheck

if TYPE_CHECKING:
    from accounts.principals.principal import Proof

# What other processes are told to forget; the key is the user's id.
INVALIDATION_SUBJECT: Final = "principal"

_cache: LocalCache[bytes, Proof] = LocalCache(
    "principal", ttl=lambda: settings.CACHE_TTL_JWT, max_entries=20_000
)
_hits = CACHE_LOOKUPS.labels("principal", "hit")
_misses = CACHE_LOOKUPS.labels("principal", "miss")
_epoch = 0


def epoch() -> int:
    """Return what ``remember`` has to be told: a number that changes when anybody is forgotten."""
    return _epoch


def recall(digest: bytes) -> Proof | None:
    """Return what a token has proved, as long as what proved it holds."""
    entry = _cache.get(digest)
    if entry is None or not entry.holds():
        _misses.inc()
        return None
    _hits.inc()
    return entry


def remember(digest: bytes, entry: Proof, *, since: int) -> None:
    """Keep what a token has proved.

    Args:
        since: the ``epoch`` before it was looked into. If anybody was forgotten meanwhile, the
            entry may be built on what was to be forgotten, and is not kept.
    """
    if since == _epoch:
        until = min(entry.principal.expires_at, entry.good_until)
        _cache.put(digest, entry, ttl=until - time.time())


def forget_user(user_id: UUID) -> None:
    """Drop what this process remembers of a user. The next request of theirs reads the database."""
    global _epoch  # noqa: PLW0603 - see remember
    _epoch += 1
    liveness.forget_user(user_id)
    _cache.forget_where(lambda entry: entry.principal.user_id == user_id)


def _begin_anew(user_id: UUID) -> None:
    forget_user(user_id)
    recheck(user_id)


on_invalidate(INVALIDATION_SUBJECT, lambda key: _begin_anew(UUID(key)))
