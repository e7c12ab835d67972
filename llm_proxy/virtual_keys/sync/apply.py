"""Doing what a plan says, several steps at once.

Each step reads its row anew and goes the way of the data plane, so that none does harm that comes
late, twice, or after others have changed something.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Final
from uuid import UUID

from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.utils import timezone

from gateway_core import cache
from gateway_core.errors import GatewayError, UpstreamCredentialRejected, UpstreamUnreachable
from gateway_core.logging import get_logger
from llm_proxy.client.keys import delete_keys
from llm_proxy.client.users import delete_users
from llm_proxy.virtual_keys import standing as standings
from llm_proxy.virtual_keys.grants import INVALIDATION_SUBJECT
from llm_proxy.virtual_keys.making import establish
from llm_proxy.virtual_keys.models import VirtualKey
from llm_proxy.virtual_keys.sync.plan import PRUNED, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from llm_proxy.virtual_keys.standing import Standing
    from llm_proxy.virtual_keys.sync.plan import Plan, Show, Step

    Work = Callable[[], Awaitable[object]]

_log = get_logger("gateway.keys")

# LiteLLM serves one after the other: more at once would only make users' calls wait.
_AT_ONCE: Final = 8
_BATCH: Final = 100
_HOPELESS: Final = (UpstreamUnreachable, UpstreamCredentialRejected)
_State = VirtualKey.State


@dataclass(slots=True)
class Outcome:
    """How many steps came to what.

    Attributes:
        done: by kind.
        left: of what only LiteLLM has, without ``--prune``.
    """

    done: Counter[Kind] = field(default_factory=Counter)
    failed: int = 0
    left: int = 0


async def apply(plan: Plan, *, prune: bool, show: Show) -> Outcome:
    """Do the steps of a plan.

    Args:
        prune: delete what only LiteLLM has and this gateway has made.
        show: told how many steps are done.

    Raises:
        UpstreamUnreachable, UpstreamCredentialRejected: there is no use in going on. Steps that
            fail for another reason are counted, and logged.
    """
    outcome = Outcome()
    steps = [step for step in plan.steps if prune or step.kind not in PRUNED]
    outcome.left = len(plan.steps) - len(steps)
    steps.sort(key=lambda step: step.kind)
    done = 0
    for kind, alike in groupby(steps, key=lambda step: step.kind):
        for batch in _batches(alike):
            await _work_off(kind, batch, outcome)
            done += len(batch)
            show("steps", done, len(steps))
    return outcome


def _batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    remaining = iter(steps)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


async def _work_off(kind: Kind, batch: list[Step], outcome: Outcome) -> None:
    subjects = [step.subject for step in batch]
    if kind is Kind.RETIRE:
        await _counted(partial(_retire, subjects), kind, len(batch), outcome)
    elif kind is Kind.DELETE_KEY:
        await _counted(partial(_delete_keys, subjects), kind, len(batch), outcome)
    elif kind is Kind.DELETE_USER:
        unknown = await _unknown_users(subjects)
        await _all([partial(delete_users, [one]) for one in unknown], kind, outcome)
    else:
        found: list[Standing] = await _prepared(kind, subjects)
        await _all([partial(establish, one, is_doubtful=True) for one in found], kind, outcome)


async def _all(work: list[Work], kind: Kind, outcome: Outcome) -> None:
    remaining = iter(work)

    async def work_off() -> None:
        for one in remaining:
            await _counted(one, kind, 1, outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work_off())
    except* _HOPELESS as several:
        raise several.exceptions[0] from None


async def _counted(work: Work, kind: Kind, count: int, outcome: Outcome) -> None:
    try:
        await work()
    except _HOPELESS:
        raise
    except GatewayError as error:
        _log.error("step failed", kind=kind.value, error=str(error))
        outcome.failed += count
    else:
        outcome.done[kind] += count


async def _retire(virtual_key_ids: list[str]) -> None:
    hashes: list[str] = await _retired(virtual_key_ids)
    await delete_keys(hashes)
    await _rows_deleted(virtual_key_ids)


async def _delete_keys(hashes: list[str]) -> None:
    unknown: list[str] = await _unknown_hashes(hashes)
    if unknown:
        await delete_keys(unknown)


def _prepare(kind: Kind, virtual_key_ids: list[str]) -> list[Standing]:
    keys = VirtualKey.objects.filter(pk__in=virtual_key_ids)
    if kind is Kind.MAKE:
        keys.filter(state=_State.ACTIVE).update(
            state=_State.CREATING, applied_limits="", updated_at=timezone.now()
        )
    return standings.of_keys(list(keys))


def _set_retiring(virtual_key_ids: list[str]) -> list[str]:
    keys = VirtualKey.objects.filter(pk__in=virtual_key_ids)
    users = set(keys.exclude(state=_State.RETIRING).values_list("user_id", flat=True))
    keys.update(state=_State.RETIRING, updated_at=timezone.now())
    for user_id in users:
        cache.invalidate(INVALIDATION_SUBJECT, str(user_id))
    return list(keys.values_list("token_hash", flat=True))


def _delete_rows(virtual_key_ids: list[str]) -> None:
    VirtualKey.objects.filter(pk__in=virtual_key_ids, state=_State.RETIRING).delete()


def _without_rows(hashes: list[str]) -> list[str]:
    """Rows come before keys, so that a key without one when it has been listed never gets one."""
    rows = VirtualKey.objects.filter(token_hash__in=hashes)
    known = set(rows.values_list("token_hash", flat=True))
    return [token_hash for token_hash in hashes if token_hash not in known]


def _not_users(user_ids: list[str]) -> list[str]:
    users = get_user_model().objects.filter(pk__in=[UUID(user_id) for user_id in user_ids])
    known = {str(pk) for pk in users.values_list("pk", flat=True)}
    return [user_id for user_id in user_ids if str(UUID(user_id)) not in known]


_prepared = database_sync_to_async(_prepare, thread_sensitive=False)
_retired = database_sync_to_async(_set_retiring, thread_sensitive=False)
_rows_deleted = database_sync_to_async(_delete_rows, thread_sensitive=False)
_unknown_hashes = database_sync_to_async(_without_rows, thread_sensitive=False)
_unknown_users = database_sync_to_async(_not_users, thread_sensitive=False)
