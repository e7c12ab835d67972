"""Each user's Letta organization: made on first use, once.

The row is the claim: whoever inserts it, or takes it over, makes the organization; everybody else
waits for the row to become active. Each step's result is stored before the next begins, so a later
attempt goes on where an earlier one stopped. No transaction is open during a call to Letta.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from gateway_core.cache import LocalCache
from gateway_core.errors import GatewayError, GatewayOverloaded, UpstreamTimeout
from gateway_core.logging import get_logger
from gateway_core.tasks import spawn
from letta_proxy import client
from letta_proxy.mode import is_cloud
from letta_proxy.models import LettaAccount

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_log = get_logger("letta.accounts")

STALE_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = (0.02, 0.5)

_letta_users: LocalCache[UUID, str] = LocalCache(
    "letta_user", ttl=lambda: settings.CACHE_TTL_USER, max_entries=50_000
)
_under_way: dict[UUID, asyncio.Task[str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What the row says to somebody who wants the account.

    Attributes:
        is_active: the account is complete.
        token: set when it is theirs to make.
        is_first: nobody has tried before, so nothing can be left of an attempt.
    """

    is_active: bool
    token: UUID | None
    is_first: bool
    organization_id: str
    letta_user_id: str


class ClaimLost(GatewayOverloaded):
    """Another process took the claim over because this one was too slow."""

    detail = "Your Letta account is being made by another process."


async def letta_user_for(user_id: UUID) -> str:
    """Return the Letta user that stands for a gateway user, made now if there is none yet."""
    known = _letta_users.get(user_id)
    if known is None:
        known = await ensure_account(user_id)
        _letta_users.put(user_id, known)
    return known


async def ensure_account(user_id: UUID) -> str:
    """Return the id of the user's Letta user, and make organization and user if need be.

    On Letta Cloud there are none, and it is empty.

    However many ask at once, in however many processes, one organization is made. A caller who
    leaves does not stop it.

    Raises:
        UpstreamError: Letta failed; the next call tries again.
        GatewayOverloaded: somebody else has been at it for too long.
    """
    if is_cloud():
        return ""
    task = _under_way.get(user_id)
    if task is None or task.get_loop() is not asyncio.get_running_loop():
        task = spawn(_ensure(user_id), name=f"letta-account-{user_id}")
        _under_way[user_id] = task
        task.add_done_callback(lambda done: _ended(user_id, done))
    return await asyncio.shield(task)


def forget_account(user_id: UUID) -> None:
    """Drop what this process remembers of a user's account."""
    _letta_users.forget(user_id)


def _ended(user_id: UUID, task: asyncio.Task[str]) -> None:
    if _under_way.get(user_id) is task:
        del _under_way[user_id]
    if not task.cancelled():
        task.exception()  # seen, even when everybody who waited has left


async def _ensure(user_id: UUID) -> str:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _WAIT_SECONDS
    pause, longest = _POLL_SECONDS
    while loop.time() < deadline:
        claim: _Claim = await _claim(user_id)
        if claim.is_active:
            return claim.letta_user_id
        if claim.token is not None:
            return await _make(user_id, claim.token, claim)
        await asyncio.sleep(pause)
        pause = min(pause * 2, longest)
    raise GatewayOverloaded("Your Letta account is still being made.", retry_after=5)


async def _make(user_id: UUID, token: UUID, claim: _Claim) -> str:
    """Go through the steps that are missing."""
    try:
        organization_id = await _organization(user_id, token, claim)
        letta_user_id = claim.letta_user_id or await client.create_user(
            _name(user_id), organization_id
        )
        await _store(user_id, token, letta_user_id=letta_user_id)
        await client.add_base_tools(letta_user_id)
        await _store(user_id, token, state=LettaAccount.State.ACTIVE, claim=None)
    except (UpstreamTimeout, ClaimLost):
        raise  # Letta may still be at it: whoever comes next waits until the claim is stale
    except GatewayError:
        await _release(user_id, token)
        raise
    _log.info("letta_account_created", user_id=str(user_id), organization_id=organization_id)
    return letta_user_id


async def _organization(user_id: UUID, token: UUID, claim: _Claim) -> str:
    if claim.organization_id:
        return claim.organization_id
    if not claim.is_first and (found := await client.find_organization(_name(user_id))):
        await _store(user_id, token, organization_id=found)
        return found
    created = await client.create_organization(_name(user_id))
    try:
        await _store(user_id, token, organization_id=created)
    except ClaimLost:
        await client.delete_organization(created)
        raise
    return created


def _name(user_id: UUID) -> str:
    """Names are not unique in Letta; this one is how an orphan is found."""
    return f"gw:{user_id}"


def _claim_row(user_id: UUID, now: Callable[[], datetime] = timezone.now) -> _Claim:
    """Read the row; insert it when there is none, take it over when it is free or stale."""
    row = LettaAccount.objects.filter(pk=user_id, state=LettaAccount.State.ACTIVE).first()
    if row is not None:
        return _seen(row, is_active=True)
    token, at = uuid4(), now()
    with transaction.atomic():
        fresh = LettaAccount(user_id=user_id, claim=token, claimed_at=at)
        LettaAccount.objects.bulk_create([fresh], ignore_conflicts=True)
        row = LettaAccount.objects.select_for_update().get(pk=user_id)
        is_first = row.claim == token
        is_active = row.state == LettaAccount.State.ACTIVE
        oldest = at - timedelta(seconds=STALE_SECONDS)
        is_free = row.claim is None or row.claimed_at is None or row.claimed_at < oldest
        is_mine = not is_active and (is_first or is_free)
        if is_mine and not is_first:
            row.claim, row.claimed_at = token, at
            row.save(update_fields=("claim", "claimed_at"))
    return _seen(row, is_active=is_active, token=token if is_mine else None, is_first=is_first)


def _seen(
    row: LettaAccount, *, is_active: bool, token: UUID | None = None, is_first: bool = False
) -> _Claim:
    return _Claim(
        is_active=is_active,
        token=token,
        is_first=is_first,
        organization_id=row.organization_id,
        letta_user_id=row.letta_user_id,
    )


def _store_step(user_id: UUID, token: UUID, **values: Any) -> None:
    """Write a step's result, as long as the claim is still ours.

    Raises:
        ClaimLost: it is not.
    """
    values.setdefault("claimed_at", timezone.now())
    if not LettaAccount.objects.filter(pk=user_id, claim=token).update(**values):
        raise ClaimLost(retry_after=1)


def _release_row(user_id: UUID, token: UUID) -> None:
    LettaAccount.objects.filter(pk=user_id, claim=token).update(claim=None)


# Not "thread sensitive": that would queue every user's first request on one thread.
_claim = database_sync_to_async(_claim_row, thread_sensitive=False)
_store = database_sync_to_async(_store_step, thread_sensitive=False)
_release = database_sync_to_async(_release_row, thread_sensitive=False)
