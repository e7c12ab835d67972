"""Having LiteLLM hold a key as its row says, and writing down that it does.

Every step can be repeated, by anybody at any time, so that a crash between LiteLLM's answer and the
commit is mended by the next use. LiteLLM takes orders in no order: of two that overtake each other,
whoever finds the other's fingerprint in the row has to tell LiteLLM again. A process that dies in
between leaves what ``sync_keys`` finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from channels.db import database_sync_to_async
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from gateway_core.crypto import SecretUnreadable
from gateway_core.errors import UpstreamFailed, UpstreamUnreachable
from gateway_core.logging import get_logger
from llm_proxy.client.calls import AliasTaken, KeyUnknown
from llm_proxy.client.keys import delete_keys, generate_key, key_info, update_key
from llm_proxy.client.users import put_user, update_user
from llm_proxy.virtual_keys import standing as standings
from llm_proxy.virtual_keys.models import VirtualKey
from llm_proxy.virtual_keys.spending import spent_before

if TYPE_CHECKING:
    from uuid import UUID

    from llm_proxy.virtual_keys.standing import Standing

_log = get_logger("gateway.keys")

_State = VirtualKey.State
_ATTEMPTS: Final = 5


async def establish(standing: Standing, *, is_doubtful: bool = False) -> Standing:
    """Tell LiteLLM of a key what it was not told yet, and return the standing as it is then.

    Args:
        is_doubtful: LiteLLM is told again although the row says that it was.

    Raises:
        UpstreamError: LiteLLM can't be told now.
        SecretUnreadable: no encryption key opens the value, which is needed to make the key.
    """
    for _ in range(_ATTEMPTS):
        key = standing.key
        if key.state == _State.RETIRING:
            return standing
        if is_told(standing) and not is_doubtful:
            return standing
        await _tell(standing)
        if await _noted(standing):
            return standing
        again: Standing | None = await _read(key.pk)
        if again is None or again.key.state == _State.RETIRING:
            # Whoever retires it may have deleted it before this made it.
            await delete_keys([key.token_hash])
            key.state = _State.RETIRING
            return standing
        standing, is_doubtful = again, True
    raise UpstreamUnreachable(retry_after=1)


def is_told(standing: Standing) -> bool:
    """Say whether LiteLLM was told of the key, and of its terms as they are now."""
    key = standing.key
    return key.state != _State.CREATING and key.applied_limits == standing.terms.fingerprint


@sensitive_variables("value")
def value_of(key: VirtualKey) -> str:
    """Return the key itself; raises SecretUnreadable, with a line in the log."""
    try:
        return key.value()
    except SecretUnreadable as exc:
        _log.error("virtual key unreadable", virtual_key_id=str(key.pk), reason=exc.reason)
        raise


async def _tell(standing: Standing) -> None:
    key, terms = standing.key, standing.terms
    if key.state == _State.CREATING:
        await _make(standing)
        return
    try:
        # First: it tells whether LiteLLM still has the key, and with it the user.
        await update_key(key.token_hash, terms=terms.key)
    except KeyUnknown:
        if key.state == _State.ACTIVE:
            _log.warning("virtual key is made again", user_id=str(key.user_id))
            await _make(standing)
        return
    await update_user(key.user_id, terms=terms.user)


async def _make(standing: Standing) -> None:
    key, terms = standing.key, standing.terms
    made_by: UUID = await _installation_id()
    spent = await spent_before(standing)
    await put_user(key.user_id, terms=terms.user, made_by=made_by, spend=spent.by_user)
    try:
        await generate_key(
            value=value_of(key),
            alias=key.alias,
            terms=terms.key,
            made_by=made_by,
            spend=spent.by_key,
        )
    except AliasTaken:
        await _adopt(key)
        await update_key(key.token_hash, terms=terms.key)


async def _adopt(key: VirtualKey) -> None:
    """Take a key as made that an earlier or simultaneous attempt has made."""
    info = await key_info(key.token_hash)
    if info is None or info.is_deleted or info.user_id != str(key.user_id):
        _log.error("alias belongs to another key", alias=key.alias)
        raise UpstreamFailed


def _note(standing: Standing) -> bool:
    """Write down that LiteLLM was told, unless somebody has changed the row meanwhile."""
    key, fingerprint = standing.key, standing.terms.fingerprint
    state = _State.ACTIVE if key.state == _State.CREATING else _State(key.state)
    unchanged = VirtualKey.objects.filter(
        pk=key.pk,
        state__in=(key.state, state),
        applied_limits__in=(key.applied_limits, fingerprint),
    )
    if not unchanged.update(state=state, applied_limits=fingerprint, updated_at=timezone.now()):
        return False
    key.state, key.applied_limits = state, fingerprint
    return True


# Not "thread sensitive": that would queue every first request of the process on one thread.
_noted = database_sync_to_async(_note, thread_sensitive=False)
_read = database_sync_to_async(standings.of_virtual_key, thread_sensitive=False)
_installation_id = database_sync_to_async(standings.installation_id, thread_sensitive=False)
