"""What is done to virtual keys.

The row comes first: what it says the gateway itself holds to, in every process within a second.
LiteLLM is told in the background, before the next call that needs it, or by ``sync_keys``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from channels.db import database_sync_to_async
from django.db import transaction
from django.utils import timezone

from gateway_core import cache
from gateway_core.audit.services import record_change
from gateway_core.background import in_background, wait_for
from gateway_core.errors import ResourceConflict
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.client import connections
from llm_proxy.client.keys import delete_keys
from llm_proxy.client.users import delete_users
from llm_proxy.virtual_keys import standing as standings
from llm_proxy.virtual_keys.grants import INVALIDATION_SUBJECT, is_current
from llm_proxy.virtual_keys.making import establish
from llm_proxy.virtual_keys.models import VirtualKey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from accounts.models import User
    from accounts.principals.principal import Principal
    from llm_proxy.virtual_keys.grants import Grant
    from llm_proxy.virtual_keys.standing import Standing

_State = VirtualKey.State


def block_virtual_key(*, virtual_key_id: UUID, by: User) -> bool:
    """Refuse what is paid for with a key until it is unblocked; returns whether that is new."""
    before = (_State.CREATING, _State.ACTIVE)
    return _change_state(virtual_key_id, before, _State.BLOCKED, action="block", by=by)


def unblock_virtual_key(*, virtual_key_id: UUID, by: User) -> bool:
    """Let a blocked key pay again; returns whether anything changed."""
    return _change_state(virtual_key_id, (_State.BLOCKED,), _State.ACTIVE, action="unblock", by=by)


def replace_virtual_key(*, virtual_key_id: UUID, by: User | None) -> VirtualKey:
    """Put a key of another value in the place of one, which is deleted in LiteLLM.

    What was spent still counts: on the user's budget, and on that of the API key it belongs to.
    Streams that go on over the old key end when LiteLLM looks at it again, if it ever does.

    Args:
        by: who does it; None for the gateway itself.

    Raises:
        ResourceConflict: the key is blocked, or retired already.
    """
    with transaction.atomic():
        old = VirtualKey.objects.select_for_update().get(pk=virtual_key_id)
        if old.state not in {_State.CREATING, _State.ACTIVE}:
            raise ResourceConflict(f"This key is {_State(old.state).label}: it is not replaced.")
        _set_state(old, _State.RETIRING)
        fresh = VirtualKey.chosen(old.user_id, VirtualKey.Kind(old.kind))
        fresh.predecessor_hash = old.token_hash
        fresh.save(force_insert=True)
        ApiKey.objects.filter(virtual_key=old).update(virtual_key=fresh)
        facts = {"replaced_by": str(fresh.pk)}
        _record(old, action="replace", by=by, facts=facts)
        transaction.on_commit(partial(_changed, old, partial(_take_over, old.pk, fresh.pk)))
    return fresh


def retire_virtual_key(*, virtual_key_id: UUID) -> bool:
    """End a key for good; its row goes when LiteLLM has deleted it. Returns whether that is new."""
    with transaction.atomic():
        key = VirtualKey.objects.select_for_update().filter(pk=virtual_key_id).first()
        if key is None or key.state == _State.RETIRING:
            return False
        _set_state(key, _State.RETIRING)
        transaction.on_commit(partial(_changed, key, partial(finish_retiring, key.pk)))
    return True


def erase_virtual_keys(*, user_id: UUID) -> None:
    """Delete a user in LiteLLM, with all keys, and then the keys' rows. Can be repeated.

    Raises:
        UpstreamError: LiteLLM is away; the keys are out of use all the same.
    """
    keys = VirtualKey.objects.filter(user_id=user_id)
    keys.update(state=_State.RETIRING, updated_at=timezone.now())
    cache.invalidate(INVALIDATION_SUBJECT, str(user_id))
    wait_for(partial(delete_users, [str(user_id)]), close=connections.close)
    keys.filter(state=_State.RETIRING).delete()


def tell_of_user(user_id: UUID) -> None:
    """Have LiteLLM told in the background what has changed for a user, who may be idle."""
    work = partial(_tell_all, user_id)
    in_background(work, name="virtual keys of a user", close=connections.close)


async def remake_virtual_key(principal: Principal, lost: Grant) -> None:
    """Have the next use of a key, which LiteLLM says it has not, make it there again.

    It is the same key, by its value. A key that is blocked, replaced or retired stays so.
    """
    if is_current(principal, lost):
        await _unmade(lost.virtual_key_id)


async def finish_retiring(virtual_key_id: UUID) -> None:
    """Delete a retiring key in LiteLLM, and then its row. Raises UpstreamError."""
    token_hash: str | None = await _retiring_hash(virtual_key_id)
    if token_hash is not None:
        await delete_keys([token_hash])
        await _deleted(virtual_key_id)


async def _take_over(old_id: UUID, new_id: UUID) -> None:
    """Make the new key before the old one goes: it goes on with what that one has spent."""
    await _tell(new_id)
    await finish_retiring(old_id)


async def _tell(virtual_key_id: UUID) -> None:
    standing: Standing | None = await _read(virtual_key_id)
    if standing is not None:
        await establish(standing)


async def _tell_all(user_id: UUID) -> None:
    for virtual_key_id in await _known_keys(user_id):
        await _tell(virtual_key_id)


def _change_state(
    virtual_key_id: UUID,
    before: tuple[VirtualKey.State, ...],
    after: VirtualKey.State,
    *,
    action: str,
    by: User,
) -> bool:
    with transaction.atomic():
        key = VirtualKey.objects.select_for_update().get(pk=virtual_key_id)
        if key.state not in before:
            return False
        _set_state(key, after)
        _record(key, action=action, by=by)
        transaction.on_commit(partial(_changed, key, partial(_tell, key.pk)))
    return True


def _set_state(key: VirtualKey, state: VirtualKey.State) -> None:
    key.state = state
    key.save(update_fields=("state", "updated_at"))


def _record(
    key: VirtualKey, *, action: str, by: User | None, facts: dict[str, str] | None = None
) -> None:
    record_change(
        actor=by,
        action=f"virtual_key.{action}",
        resource=f"virtual_key:{key.pk}",
        facts={"user_id": str(key.user_id), **(facts or {})},
    )


def _changed(key: VirtualKey, work: Callable[[], Awaitable[None]]) -> None:
    cache.invalidate(INVALIDATION_SUBJECT, str(key.user_id))
    in_background(work, name="virtual key", close=connections.close)


def _unmake(virtual_key_id: UUID) -> None:
    """Have the next use make the key in LiteLLM again."""
    lost = VirtualKey.objects.filter(pk=virtual_key_id)
    lost.filter(state=_State.ACTIVE).update(
        state=_State.CREATING, applied_limits="", updated_at=timezone.now()
    )
    for user_id in lost.values_list("user_id", flat=True):
        cache.invalidate(INVALIDATION_SUBJECT, str(user_id))


def _find_retiring_hash(virtual_key_id: UUID) -> str | None:
    retiring = VirtualKey.objects.filter(pk=virtual_key_id, state=_State.RETIRING)
    return retiring.values_list("token_hash", flat=True).first()


def _delete(virtual_key_id: UUID) -> None:
    VirtualKey.objects.filter(pk=virtual_key_id, state=_State.RETIRING).delete()


def _find_known_keys(user_id: UUID) -> list[UUID]:
    """Return what LiteLLM has heard of; the others wait for their first use."""
    keys = VirtualKey.objects.filter(user_id=user_id, state__in=(_State.ACTIVE, _State.BLOCKED))
    return list(keys.values_list("pk", flat=True))


_read = database_sync_to_async(standings.of_virtual_key, thread_sensitive=False)
_unmade = database_sync_to_async(_unmake, thread_sensitive=False)
_retiring_hash = database_sync_to_async(_find_retiring_hash, thread_sensitive=False)
_deleted = database_sync_to_async(_delete, thread_sensitive=False)
_known_keys = database_sync_to_async(_find_known_keys, thread_sensitive=False)
