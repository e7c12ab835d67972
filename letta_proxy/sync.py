"""Giving all accounts at once the address at which their agents call models.

Each gets it by itself with its user's next request. This is for those who don't come back, before
an old master key is dropped, and to see what there is to do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from channels.db import database_sync_to_async

from gateway_core.errors import GatewayError
from gateway_core.logging import get_logger
from letta_proxy import client, model_provider
from letta_proxy.models import LettaAccount
from letta_proxy.provisioning import account_for, fingerprint, forget_account
from llm_proxy.services import address_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

_log = get_logger("letta.models")

# Letta is slow, and agents wait for it, too.
_AT_ONCE: Final = 4


@dataclass(slots=True)
class Synced:
    """What was found and done.

    Attributes:
        outdated: accounts that had another address, or none.
        agents, folders: of theirs that have to be given it; counted in a dry run only.
        archives_left: archives that keep the address that they were made with, likewise.
    """

    accounts: int = 0
    outdated: list[UUID] = field(default_factory=list)
    agents: int = 0
    folders: int = 0
    archives_left: int = 0
    failed: int = 0


async def sync_providers(
    *, is_dry: bool, again: bool, show: Callable[[str, int, int], None]
) -> Synced:
    """Bring every complete account up to date.

    Args:
        is_dry: only look.
        again: those too that are on record as up to date, as after a restore of Letta's database.
        show: is told how far it has got.
    """
    synced = Synced()
    rows = await _complete_accounts()
    synced.accounts = len(rows)
    pending = [row for row in rows if again or not await _is_up_to_date(row)]
    synced.outdated = [row.pk for row in pending]
    slots, done = asyncio.Semaphore(_AT_ONCE), 0

    async def take(row: LettaAccount) -> None:
        nonlocal done
        async with slots:
            try:
                await (_look(row, synced) if is_dry else _renew(row.pk))
            except GatewayError as error:
                synced.failed += 1
                _log.warning("provider not synced", user_id=str(row.pk), code=error.code)
            done += 1
            show("accounts", done, len(pending))

    try:
        await asyncio.gather(*(take(row) for row in pending))
    finally:
        await client.upstream().close()
    return synced


async def _look(row: LettaAccount, synced: Synced) -> None:
    address = await _address(row.pk)
    if address is None:
        return
    moved = await model_provider.move_all(row.letta_user_id, address, is_dry=True)
    synced.agents += moved.agents
    synced.folders += moved.folders
    synced.archives_left += moved.archives_left


async def _renew(user_id: UUID) -> None:
    await _outdate(user_id)
    forget_account(user_id)
    await account_for(user_id)


async def _is_up_to_date(row: LettaAccount) -> bool:
    return row.address_hash == fingerprint(await _address(row.pk))


def _read_complete_accounts() -> list[LettaAccount]:
    rows = LettaAccount.objects.filter(state=LettaAccount.State.ACTIVE).order_by("created_at")
    return list(rows.only("user_id", "letta_user_id", "address_hash"))


def _clear_hash(user_id: UUID) -> None:
    LettaAccount.objects.filter(pk=user_id).update(address_hash="")


_complete_accounts = database_sync_to_async(_read_complete_accounts, thread_sensitive=False)
_address = database_sync_to_async(address_for, thread_sensitive=False)
_outdate = database_sync_to_async(_clear_hash, thread_sensitive=False)
