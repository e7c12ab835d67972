"""Each user's Letta organization: made on first use, once.

The row is the claim: whoever inserts it, or takes it over, makes the organization; everybody else
waits for the row to become ready. Each step's result is stored before the next begins, so a later
attempt goes on where an earlier one stopped. No transaction is open during a call to Letta.

The last step gives the organization's agents the address at which they call their models. It is
done again when that has changed: with the user's agent secret, a master key or the gateway's own
address.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.principals.memory import INVALIDATION_SUBJECT
from gateway_core.cache import LocalCache, on_invalidate
from gateway_core.errors import GatewayError, GatewayOverloaded, UpstreamTimeout
from gateway_core.logging import get_logger
from letta_proxy import client, model_provider
from letta_proxy.mode import is_cloud
from letta_proxy.models import LettaAccount
from llm_proxy.services import address_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from llm_proxy.services import AgentAddress

_log = get_logger("letta.accounts")

STALE_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = (0.02, 0.5)

_accounts: LocalCache[UUID, Account] = LocalCache(
    "letta_user", ttl=lambda: settings.CACHE_TTL_USER, max_entries=50_000
)


@dataclass(frozen=True, slots=True)
class Account:
    """Who stands for a gateway user in Letta.

    Attributes:
        letta_user_id: empty on Letta Cloud.
        address: where the user's agents call their models; None where they don't at the gateway.
    """

    letta_user_id: str = ""
    address: AgentAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What the row says to somebody who wants the account.

    Attributes:
        is_ready: nothing is left to do.
        is_active: the organization is complete.
        token: set when it is theirs to make.
        is_first: nobody has tried before, so nothing can be left of an attempt.
    """

    is_ready: bool
    is_active: bool
    token: UUID | None
    is_first: bool
    organization_id: str
    account: Account


class ClaimLost(GatewayOverloaded):
    """Another process took the claim over because this one was too slow."""

    detail = "Your Letta account is being made by another process."


async def letta_user_for(user_id: UUID) -> str:
    """Return the Letta user that stands for a gateway user, made now if there is none yet."""
    return (await account_for(user_id)).letta_user_id


async def account_for(user_id: UUID) -> Account:
    """Return a user's account, made now if there is none yet, or brought up to date.

    On Letta Cloud there are none, and it is empty. However many ask at once, in however many
    processes, one organization is made. A caller who leaves does not stop it.

    Raises:
        UpstreamError: Letta failed; the next call tries again.
        GatewayOverloaded: somebody else has been at it for too long.
    """
    if is_cloud():
        return Account()
    return await _accounts.load(user_id, partial(_ensure, user_id))


def letta_user_if_any(user_id: UUID) -> str | None:
    """Return the Letta user of an account that is there, as it is. Synchronous; changes nothing."""
    known = _accounts.get(user_id)
    if known is not None:
        return known.letta_user_id
    rows = LettaAccount.objects.filter(pk=user_id, state=LettaAccount.State.ACTIVE)
    return rows.values_list("letta_user_id", flat=True).first()


async def give_own_address(user_id: UUID, agent: Any) -> None:
    """Have an agent that is new or changed, as Letta shows it, say who it is when it calls."""
    account = await account_for(user_id)
    if account.address is not None:
        await model_provider.move_agent(account.letta_user_id, agent, account.address)


def forget_account(user_id: UUID) -> None:
    """Drop what this process remembers of a user's account."""
    _accounts.forget(user_id)


def fingerprint(address: AgentAddress | None) -> str:
    """Return what the row keeps of an address: nothing that it could be told from."""
    return hashlib.sha256(address.url.encode()).hexdigest() if address else ""


async def _ensure(user_id: UUID) -> Account:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _WAIT_SECONDS
    pause, longest = _POLL_SECONDS
    while loop.time() < deadline:
        claim: _Claim = await _claim(user_id)
        if claim.is_ready:
            return claim.account
        if claim.token is not None:
            return await _make(user_id, claim.token, claim)
        await asyncio.sleep(pause)
        pause = min(pause * 2, longest)
    raise GatewayOverloaded("Your Letta account is still being made.", retry_after=5)


async def _make(user_id: UUID, token: UUID, claim: _Claim) -> Account:
    """Go through the steps that are missing."""
    address = claim.account.address
    ready: dict[str, Any] = {"state": LettaAccount.State.ACTIVE, "claim": None}
    if address is not None:
        ready["address_hash"] = fingerprint(address)
    try:
        letta_user_id = await _letta_user(user_id, token, claim)
        if address is not None:
            await model_provider.set_provider(letta_user_id, address)
        if address is not None and claim.is_active:
            await model_provider.move_all(
                letta_user_id, address, going_on=partial(_store, user_id, token)
            )
        await _store(user_id, token, **ready)
    except ClaimLost:
        raise
    except GatewayError as error:
        # Letta may still be at making it: then whoever comes next waits until the claim is stale.
        if claim.is_active or not isinstance(error, UpstreamTimeout):
            await _release(user_id, token)
        raise
    _log.info("letta_account_ready", user_id=str(user_id), is_new=not claim.is_active)
    return Account(letta_user_id, address)


async def _letta_user(user_id: UUID, token: UUID, claim: _Claim) -> str:
    """Return the organization's user, with all that an organization needs to have agents."""
    if claim.is_active:
        return claim.account.letta_user_id
    organization_id = await _organization(user_id, token, claim)
    letta_user_id = claim.account.letta_user_id or await client.create_user(
        _name(user_id), organization_id
    )
    await _store(user_id, token, letta_user_id=letta_user_id)
    await client.add_base_tools(letta_user_id)
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
    address = address_for(user_id)
    row = LettaAccount.objects.filter(pk=user_id).first()
    if row is not None and _is_ready(row, address):
        return _seen(row, address)
    token, at = uuid4(), now()
    with transaction.atomic():
        fresh = LettaAccount(user_id=user_id, claim=token, claimed_at=at)
        LettaAccount.objects.bulk_create([fresh], ignore_conflicts=True)
        row = LettaAccount.objects.select_for_update().get(pk=user_id)
        is_first = row.claim == token
        oldest = at - timedelta(seconds=STALE_SECONDS)
        is_free = row.claim is None or row.claimed_at is None or row.claimed_at < oldest
        is_mine = not _is_ready(row, address) and (is_first or is_free)
        if is_mine and not is_first:
            row.claim, row.claimed_at = token, at
            row.save(update_fields=("claim", "claimed_at"))
    return _seen(row, address, token=token if is_mine else None, is_first=is_first)


def _is_ready(row: LettaAccount, address: AgentAddress | None) -> bool:
    """Say whether nothing is left to do. Who knows no address does not take one away."""
    is_active = row.state == LettaAccount.State.ACTIVE
    return is_active and (address is None or row.address_hash == fingerprint(address))


def _seen(
    row: LettaAccount,
    address: AgentAddress | None,
    *,
    token: UUID | None = None,
    is_first: bool = False,
) -> _Claim:
    return _Claim(
        is_ready=_is_ready(row, address),
        is_active=row.state == LettaAccount.State.ACTIVE,
        token=token,
        is_first=is_first,
        organization_id=row.organization_id,
        account=Account(row.letta_user_id, address),
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
# With the user's agent secret the address changes.
on_invalidate(INVALIDATION_SUBJECT, lambda key: forget_account(UUID(key)))
