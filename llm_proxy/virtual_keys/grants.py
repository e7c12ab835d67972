"""What the data plane sends model calls out with: a key that LiteLLM holds to the latest terms.

A grant is remembered in each process until anything that it rests on changes: the key, the plan,
the user, an API key. The next call then compares what LiteLLM was last told with what holds now,
and tells it before the call goes out. So a change is in force from the very next call of everybody
whom it concerns, without thousands of orders at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from accounts.plans import services as plans
from accounts.plans.services import covers
from accounts.principals import memory as principals
from gateway_core.cache import LocalCache, on_invalidate
from gateway_core.errors import AccountSuspended, TokenRejected
from llm_proxy.virtual_keys import standing as standings
from llm_proxy.virtual_keys.making import establish, value_of
from llm_proxy.virtual_keys.models import VirtualKey

if TYPE_CHECKING:
    from accounts.principals.principal import Principal
    from llm_proxy.virtual_keys.standing import Standing

# What processes tell each other when a key changes; the key is its user's id.
INVALIDATION_SUBJECT: Final = "virtual key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The virtual key of a caller.

    Attributes:
        authorization: the header's value.
        models: lists of names and patterns; a model has to be on each that is not empty.
        is_blocked: known, so that hammering does not reach the database.
        budget_period: of the user's budget, a ``BudgetPeriod``.
        key_budget_period: of the API key's own; empty without an API key.
    """

    virtual_key_id: UUID
    user_id: UUID
    authorization: str = field(repr=False)
    models: tuple[tuple[str, ...], ...]
    is_blocked: bool
    budget_period: str = ""
    key_budget_period: str = ""

    def allow_model(self, name: str) -> bool:
        """Say whether a model may be called."""
        return all(covers(patterns, name) for patterns in self.models)


_grants: LocalCache[tuple[UUID, UUID | None], Grant] = LocalCache(
    "virtual key", ttl=lambda: settings.CACHE_TTL_VIRTUAL_KEY, max_entries=20_000
)


async def grant_for(principal: Principal) -> Grant:
    """Return the grant of an API key, or of the user's managed key.

    Known ones cost a look-up; others some queries, and calls to LiteLLM when it has not heard of
    the key or of its latest terms. Requests that need the same one at once wait for one making of
    it. Other processes may repeat it: every step can be.

    Raises:
        AccountSuspended: the key is blocked.
        UpstreamError: LiteLLM can't be told now; the next request tries again.
        SecretUnreadable: no encryption key opens the stored key.
        TokenRejected: the API key is gone.
    """
    owner = principal.user_id, principal.api_key_id
    grant = await _grants.load(owner, partial(_granted, *owner))
    if grant.is_blocked:
        raise AccountSuspended("Model calls are switched off for this account. Contact support.")
    return grant


def is_current(principal: Principal, grant: Grant) -> bool:
    """Say whether nobody has made a newer grant in this process, or dropped this one."""
    return _grants.get((principal.user_id, principal.api_key_id)) is grant


@sensitive_variables()
async def _granted(user_id: UUID, api_key_id: UUID | None) -> Grant:
    read = _of_api_key(api_key_id) if api_key_id else _of_user(user_id)
    standing: Standing = await read
    if standing.key.state != VirtualKey.State.BLOCKED:
        standing = await establish(standing)
    key = standing.key
    if key.state == VirtualKey.State.RETIRING:
        raise TokenRejected("The key of this request has just been retired.")
    is_blocked = key.state == VirtualKey.State.BLOCKED
    return Grant(
        virtual_key_id=key.pk,
        user_id=user_id,
        authorization="" if is_blocked else f"Bearer {value_of(key)}",
        models=standing.models,
        is_blocked=is_blocked,
        budget_period=standing.terms.user["budget_duration"],
        key_budget_period=standing.terms.key["budget_duration"] or "",
    )


def _forget_user(user_id: str) -> None:
    gone = UUID(user_id)
    _grants.forget_where(lambda grant: grant.user_id == gone)


def _forget(key: str) -> None:
    if key == plans.EVERYBODY:
        _grants.clear()
    else:
        _forget_user(key)


# Not "thread sensitive": that would queue every first request of the process on one thread.
_of_user = database_sync_to_async(standings.of_user, thread_sensitive=False)
_of_api_key = database_sync_to_async(standings.of_api_key, thread_sensitive=False)
on_invalidate(INVALIDATION_SUBJECT, _forget_user)
on_invalidate(plans.INVALIDATION_SUBJECT, _forget)
# API keys announce what changes of theirs as a change of the user.
on_invalidate(principals.INVALIDATION_SUBJECT, _forget_user)
