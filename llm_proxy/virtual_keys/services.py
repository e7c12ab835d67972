"""Virtual keys: made on first use, and handed to the data plane as credentials."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.utils import timezone

from gateway_core.cache import LocalCache, invalidate, on_invalidate
from gateway_core.crypto import SecretUnreadable
from gateway_core.errors import AccountSuspended, UpstreamFailed
from gateway_core.logging import get_logger
from gateway_core.metrics import CACHE_LOOKUPS
from gateway_core.tasks import spawn
from llm_proxy import client
from llm_proxy.virtual_keys.models import VirtualKey

_log = get_logger("gateway.keys")

# What every process is told to forget when a key changes; the key is the user's id.
INVALIDATION_SUBJECT: Final = "virtual key"

_credentials: LocalCache[UUID, str] = LocalCache(
    "virtual key", ttl=lambda: settings.CACHE_TTL_VIRTUAL_KEY, max_entries=20_000
)
_hits = CACHE_LOOKUPS.labels("virtual key", "hit")
_misses = CACHE_LOOKUPS.labels("virtual key", "miss")
_being_made: dict[UUID, asyncio.Task[VirtualKey]] = {}
_epoch = 0


async def credential_for(user_id: UUID) -> str:
    """Return the Authorization header that a user's model calls go out with.

    Known ones cost a look-up; others a query, and calls to LiteLLM when the user is new to it.

    Raises:
        AccountSuspended: the key is blocked.
        UpstreamError: LiteLLM can't make the key now; the next request tries again.
        SecretUnreadable: no encryption key opens the stored one.
    """
    credential = _credentials.get(user_id)
    if credential is not None:
        _hits.inc()
        return credential
    _misses.inc()
    epoch = _epoch
    key = await ensure_virtual_key(user_id)
    if key.state == VirtualKey.State.BLOCKED:
        raise AccountSuspended("Model calls are switched off for this account. Contact support.")
    credential = f"Bearer {_value(key)}"
    if epoch == _epoch:
        _credentials.put(user_id, credential)
    return credential


async def ensure_virtual_key(user_id: UUID) -> VirtualKey:
    """Return the user's managed key, made in LiteLLM if it is not there yet.

    Requests that need the same key at once wait for one making of it, which goes on when the one
    that began it is cancelled. Other processes may repeat it: every step can be.

    Raises:
        UpstreamError: LiteLLM can't make the key now.
        SecretUnreadable: no encryption key opens the stored one.
    """
    making = _being_made.get(user_id)
    if making is None:
        making = _being_made[user_id] = spawn(_make(user_id), name="virtual-key")
        making.add_done_callback(lambda task: _made(user_id, task))
    return await asyncio.shield(making)


async def remake_virtual_key(user_id: UUID) -> None:
    """Have the next request make the user's managed key in LiteLLM again: the same, by its value.

    A key that is blocked stays so.
    """
    await _unmade(user_id)


async def _make(user_id: UUID) -> VirtualKey:
    """Write the key down, have LiteLLM make it, and only then call it active."""
    key: VirtualKey = await _written(user_id)
    if key.state != VirtualKey.State.CREATING:
        return key
    await client.create_user(user_id)
    try:
        await client.generate_key(value=_value(key), alias=key.alias, user_id=user_id)
    except client.AliasTaken:
        await _adopt(key)
    made: VirtualKey = await _activated(key)
    return made


async def _adopt(key: VirtualKey) -> None:
    """Take a key as made that an earlier or simultaneous attempt has made."""
    info = await client.key_info(key.token_hash)
    if info is None or info.is_deleted or info.user_id != str(key.user_id):
        _log.error("alias belongs to another key", alias=key.alias)
        raise UpstreamFailed


def _value(key: VirtualKey) -> str:
    try:
        return key.value()
    except SecretUnreadable as exc:
        _log.error("virtual key unreadable", virtual_key_id=str(key.pk), reason=exc.reason)
        raise


def _activate(key: VirtualKey) -> VirtualKey:
    """Finish the making, unless somebody has changed the state meanwhile."""
    VirtualKey.objects.filter(pk=key.pk, state=VirtualKey.State.CREATING).update(
        state=VirtualKey.State.ACTIVE, updated_at=timezone.now()
    )
    key.refresh_from_db(fields=("state",))
    return key


def _unmake(user_id: UUID) -> None:
    lost = VirtualKey.objects.filter(
        user_id=user_id, kind=VirtualKey.Kind.MANAGED, state=VirtualKey.State.ACTIVE
    )
    if lost.update(state=VirtualKey.State.CREATING, updated_at=timezone.now()):
        _log.warning("virtual key is made again", user_id=str(user_id))
    invalidate(INVALIDATION_SUBJECT, str(user_id))


def _made(user_id: UUID, task: asyncio.Task[VirtualKey]) -> None:
    if _being_made.get(user_id) is task:
        del _being_made[user_id]
    if not task.cancelled():
        task.exception()  # seen, also when nobody waits any more


def _forget(user_id: UUID) -> None:
    # What is being worked out now may rest on what has just changed.
    global _epoch  # noqa: PLW0603
    _epoch += 1
    _being_made.pop(user_id, None)
    _credentials.forget(user_id)


# Not "thread sensitive": that would queue every first request of the process on one thread.
_written = database_sync_to_async(VirtualKey.objects.managed, thread_sensitive=False)
_unmade = database_sync_to_async(_unmake, thread_sensitive=False)
_activated = database_sync_to_async(_activate, thread_sensitive=False)
on_invalidate(INVALIDATION_SUBJECT, lambda key: _forget(UUID(key)))
