"""Keys' rows as they are now, each with what LiteLLM should hold it to. Queries the database."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from django.db import transaction

from accounts.plans.services import limits_of
from gateway_core.errors import TokenRejected
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.virtual_keys.models import Installation, VirtualKey
from llm_proxy.virtual_keys.terms import Terms, terms_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a key stands.

    Attributes:
        models: lists of names and patterns; a model has to be on each that is not empty.
    """

    key: VirtualKey
    terms: Terms
    models: tuple[tuple[str, ...], ...]


def of_user(user_id: UUID) -> Standing:
    """Return that of a user's managed key, which is written down now if there is none yet."""
    return of_keys([VirtualKey.objects.managed(user_id)])[0]


def of_api_key(api_key_id: UUID) -> Standing:
    """Return that of an API key's virtual key, which is written down now if there is none yet.

    Raises:
        TokenRejected: the API key is gone or revoked.
    """
    with transaction.atomic():
        living = ApiKey.objects.select_for_update().filter(pk=api_key_id, revoked_at=None)
        api_key = living.first()
        if api_key is None:
            raise TokenRejected("There is no such API key any more.")
        # Not joined: whoever has waited for the lock would see the key that was there before.
        key = api_key.virtual_key
        if key is None or key.state == VirtualKey.State.RETIRING:
            key = VirtualKey.chosen(api_key.user_id, VirtualKey.Kind.API_KEY)
            key.save(force_insert=True)
            api_key.virtual_key = key
            api_key.save(update_fields=("virtual_key",))
    return of_keys([key])[0]


def of_virtual_key(virtual_key_id: UUID) -> Standing | None:
    """Return that of a key; None when its row is gone."""
    return next(iter(of_keys(list(VirtualKey.objects.filter(pk=virtual_key_id)))), None)


def of_keys(keys: Sequence[VirtualKey]) -> list[Standing]:
    """Return those of many keys, in their order, with as many queries as for one."""
    limits = limits_of({key.user_id for key in keys})
    mapped = [key.pk for key in keys if key.kind == VirtualKey.Kind.API_KEY]
    found = ApiKey.objects.filter(virtual_key_id__in=mapped) if mapped else ()
    api_keys = {api_key.virtual_key_id: api_key for api_key in found}
    return [
        Standing(
            key=key,
            terms=terms_of(key, limits[key.user_id], api_keys.get(key.pk)),
            models=(
                limits[key.user_id].allowed_models,
                *(tuple(one.allowed_models) for one in (api_keys.get(key.pk),) if one),
            ),
        )
        for key in keys
    ]


@cache
def installation_id() -> UUID:
    """Return which gateway this is to LiteLLM, which may serve others."""
    return Installation.objects.get().pk
