"""Models by their handles: those of the user's own provider, and no others.

Letta looks a handle up among the organization's models and then among its server's, which spend on
the server's own key (measured). So a handle must be one that the gateway offers, and Letta must
have heard of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings

from accounts.plans.services import EVERYBODY, alimits_for, covers
from accounts.plans.services import INVALIDATION_SUBJECT as LIMITS
from gateway_core.cache import LocalCache, on_invalidate
from gateway_core.errors import ModelNotAllowed, ResourceNotFound, UpstreamUnreachable
from letta_proxy import client
from letta_proxy.mode import has_provider
from letta_proxy.model_provider import EMBEDDING_PREFIX, MODEL_PREFIX, NAME, set_provider
from letta_proxy.provisioning import account_for
from letta_proxy.translate import UNKNOWN_HANDLE
from llm_proxy.services import agent_models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accounts.principals.principal import Principal
    from letta_proxy.provisioning import Account

# For so long nobody asks again for a handle that was not there.
_MISSED_SECONDS: Final = 10.0

_known: LocalCache[UUID, frozenset[str]] = LocalCache(
    "letta_models", ttl=lambda: settings.CACHE_TTL_USER, max_entries=20_000
)
_missed: LocalCache[tuple[UUID, str], bool] = LocalCache(
    "letta_models_missed", ttl=lambda: _MISSED_SECONDS, max_entries=20_000
)


async def require_models(user_id: UUID, handles: Mapping[str, str]) -> None:
    """Refuse handles, given with their pointers, that stand for none of the user's models.

    Raises:
        ResourceNotFound: one does.
        UpstreamError: nobody can say right now.
    """
    if not handles:
        return
    account = await account_for(user_id)
    if account.address is None:
        return
    for handle, pointer in handles.items():
        if handle in await _offered(user_id, account):
            continue
        if _missed.get((user_id, handle)) is None:
            _known.forget(user_id)
            if handle in await _offered(user_id, account):
                continue
            _missed.put((user_id, handle), True)
        raise ResourceNotFound(UNKNOWN_HANDLE, param=pointer)


def hold_to_key(principal: Principal, handles: Mapping[str, str]) -> None:
    """Refuse handles, given with their pointers, of models that an API key is not for.

    What an agent has already it keeps, whoever talks to it: nothing here asks which that is.

    Raises:
        ModelNotAllowed: one is.
    """
    for handle, pointer in handles.items():
        if not _is_for(principal, handle):
            raise ModelNotAllowed(
                "This API key may not give that model to an agent. GET /api/v1/letta/models lists "
                "those it may.",
                param=pointer,
            )


def _is_for(principal: Principal, handle: str) -> bool:
    name = handle.removeprefix(MODEL_PREFIX).removeprefix(EMBEDDING_PREFIX)
    return not principal.models or not has_provider() or covers(principal.models, name)


async def is_offered(user_id: UUID, handle: str) -> bool:
    """Return whether the gateway offers a user this model. Letta is not asked, nor told."""
    return not has_provider() or handle in await _wanted(user_id)


async def renew_models(user_id: UUID) -> None:
    """Have Letta's list of the user's models as the gateway would answer it."""
    account = await account_for(user_id)
    if account.address is not None:
        await _offered(user_id, account)


async def only_offered(principal: Principal, models: Any) -> Any:
    """Return of a list of models, or embedding models, what may be given to the user's agents."""
    user_id = principal.user_id
    account = await account_for(user_id)
    if account.address is None or not isinstance(models, list):
        return models
    limits = await alimits_for(user_id)
    offered = await _offered(user_id, account)
    return [
        model
        for model in models
        if _is_for(principal, handle := str(model.get("handle")))
        and (
            handle in offered
            or (
                handle.startswith(EMBEDDING_PREFIX)
                and limits.allow_model(handle.removeprefix(EMBEDDING_PREFIX))
            )
        )
    ]


async def _offered(user_id: UUID, account: Account) -> frozenset[str]:
    return await _known.load(user_id, partial(_renewed, user_id, account))


async def _renewed(user_id: UUID, account: Account) -> frozenset[str]:
    """Return the handles that are offered and that Letta knows, once it has been asked to learn.

    A model that has left the list before comes back only with its provider (measured).
    """
    wanted = await _wanted(user_id)
    if account.address is None:
        return wanted
    known = await client.models_of(NAME, account.letta_user_id)
    if wanted != known:
        await set_provider(account.letta_user_id, account.address)
        known = await client.models_of(NAME, account.letta_user_id)
    if not wanted <= known:
        await _make_provider_anew(account)
        known = await client.models_of(NAME, account.letta_user_id)
    if wanted and not wanted & known:
        raise UpstreamUnreachable("Letta can't list its models right now.", retry_after=2)
    return wanted & known


async def _wanted(user_id: UUID) -> frozenset[str]:
    return frozenset(MODEL_PREFIX + name for name in await agent_models(user_id))


async def _make_provider_anew(account: Account) -> None:
    provider_id = await client.find_provider(NAME, account.letta_user_id)
    if provider_id is not None:
        await client.delete_provider(provider_id, account.letta_user_id)
    if account.address is not None:
        await set_provider(account.letta_user_id, account.address)


def _forget(key: str) -> None:
    """The plan says which models there are."""
    if key == EVERYBODY:
        _known.clear()
    else:
        _known.forget(UUID(key))


on_invalidate(LIMITS, _forget)
