"""What in Letta belongs to whom.

The table is the only truth for agents. What users make through the gateway is in it too. Anything
that Letta makes by itself (runs, steps, messages, a default archive) belongs to whoever owns its
agent: Letta is asked once for that agent, in the asking user's name, and the answer is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from channels.db import database_sync_to_async
from django.conf import settings
from django.db.models import Q

from gateway_core.cache import LocalCache
from letta_proxy import client
from letta_proxy.models import Kind, OwnedResource
from letta_proxy.provisioning import letta_user_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request takes for granted: that a thing of this kind and id is the caller's."""

    kind: Kind
    upstream_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A thing that Letta has just made, and the agent that it goes with."""

    kind: Kind
    upstream_id: str
    agent_id: str = ""


_ID: Final = re.compile(r"[a-z_]+-[0-9a-f-]+").fullmatch
_owners: LocalCache[Claim, UUID] = LocalCache(
    "letta_ownership", ttl=lambda: settings.CACHE_TTL_OWNERSHIP, max_entries=200_000
)
_behind: LocalCache[tuple[UUID, Claim], tuple[str, ...]] = LocalCache(
    "letta_agents_behind", ttl=lambda: settings.CACHE_TTL_OWNERSHIP, max_entries=50_000
)
# What agents remember things in. It can be there without an agent, or be several agents'.
_MEMORY: Final = frozenset({Kind.ARCHIVE, Kind.BLOCK})
# What can't be without its agent.
_LIVES: Final = frozenset({Kind.CONVERSATION, Kind.GROUP, Kind.MESSAGE, Kind.RUN, Kind.STEP})


async def owns(user_id: UUID, kind: Kind, ids: Collection[str]) -> bool:
    """Say whether all of these things are the user's. Ids that don't exist are nobody's."""
    return await owns_all(user_id, {Claim(kind, upstream_id) for upstream_id in ids})


async def owns_agent(user_id: UUID, agent_id: str) -> bool:
    """Say whether an agent is the user's."""
    return is_id(agent_id) and await owns(user_id, Kind.AGENT, (agent_id,))


async def owns_all(user_id: UUID, claims: Collection[Claim]) -> bool:
    """Say whether every claim of a user holds.

    A positive answer is kept: who owns a thing never changes, and what is deleted Letta itself
    doesn't find. A foreign thing and one that does not exist take the same way to the same answer.
    """
    unknown = [claim for claim in claims if _owners.get(claim) != user_id]
    if not unknown:
        return True
    recorded = await _recorded(unknown)
    for claim in unknown:
        owner = recorded.get(claim)
        if owner != user_id and (not await _follows_agent(user_id, claim) or owner is not None):
            return False
        _owners.put(claim, user_id)
    return True


def is_id(text: str) -> bool:
    """Say whether it is an id in Letta's form. Anything else Letta need not be asked for."""
    return _ID(text) is not None


async def agents_behind(user_id: UUID, claim: Claim) -> tuple[str, ...]:
    """Return the agents that a thing of the user's goes with; an agent goes with itself.

    A conversation, run, step, message or group is part of its agent's life; blocks, folders and
    archives live on their own.
    """
    if claim.kind is Kind.AGENT:
        return (claim.upstream_id,)
    if claim.kind not in _LIVES:
        return ()
    return await _behind.load((user_id, claim), partial(_find_behind, user_id, claim))


async def agents_sharing(user_id: UUID, claim: Claim) -> tuple[str, ...]:
    """Return the agents that a block or an archive of the user's is memory of.

    Letta is asked each time: blocks are attached and detached all the while.
    """
    if claim.kind not in _MEMORY or not is_id(claim.upstream_id):
        return ()
    return tuple(await _FINDERS[claim.kind](claim.upstream_id, await letta_user_for(user_id)))


async def recorded_as_own(user_id: UUID, claims: Collection[Claim]) -> set[Claim]:
    """Return those of the claims that the table says hold. Letta is not asked."""
    known = {claim for claim in claims if _owners.get(claim) == user_id}
    recorded = await _recorded(set(claims) - known) if known != set(claims) else {}
    return known | {claim for claim, owner in recorded.items() if owner == user_id}


async def record_created(user_id: UUID, created: Iterable[Created]) -> None:
    """Note what a user has made. A thing that is already somebody's stays theirs."""
    things = list(created)
    if things:
        await _record(user_id, things)


async def record_shown(user_id: UUID, shown: Collection[Created]) -> None:
    """Note what a list of a user's own has shown them and Letta can't be asked for again."""
    unknown = [
        thing for thing in shown if _owners.get(Claim(thing.kind, thing.upstream_id)) != user_id
    ]
    await record_created(user_id, unknown)
    for thing in unknown:
        _owners.put(Claim(thing.kind, thing.upstream_id), user_id)


async def forget_deleted(kind: Kind, upstream_id: str) -> None:
    """Drop a thing that is gone, and what went with it if it was an agent."""
    await _forget(kind, upstream_id)
    _owners.forget(Claim(kind, upstream_id))


async def _find_behind(user_id: UUID, claim: Claim) -> tuple[str, ...]:
    recorded = await _recorded_agent(claim)
    if recorded:
        return (recorded,)
    if not is_id(claim.upstream_id):
        return ()
    return tuple(await _FINDERS[claim.kind](claim.upstream_id, await letta_user_for(user_id)))


def _read_recorded_agent(claim: Claim) -> str:
    rows = OwnedResource.objects.filter(kind=claim.kind, upstream_id=claim.upstream_id)
    return rows.values_list("agent_id", flat=True).first() or ""


def _read_recorded(claims: Collection[Claim]) -> dict[Claim, UUID]:
    wanted = Q()
    for kind in {claim.kind for claim in claims}:
        ids = [claim.upstream_id for claim in claims if claim.kind is kind]
        wanted |= Q(kind=kind, upstream_id__in=ids)
    rows = OwnedResource.objects.filter(wanted).values_list("kind", "upstream_id", "user_id")
    return {Claim(Kind(kind), upstream_id): owner for kind, upstream_id, owner in rows}


def record_created_sync(user_id: UUID, things: Iterable[Created]) -> None:
    """Note what a user has made, in the caller's transaction; see ``record_created``."""
    OwnedResource.objects.bulk_create(
        [
            OwnedResource(
                user_id=user_id,
                kind=thing.kind,
                upstream_id=thing.upstream_id,
                agent_id=thing.agent_id,
            )
            for thing in things
        ],
        ignore_conflicts=True,
    )


def forget_deleted_sync(kind: Kind, upstream_id: str) -> None:
    """Drop a thing that is gone, in the caller's transaction; see ``forget_deleted``."""
    gone = Q(kind=kind, upstream_id=upstream_id)
    if kind in {Kind.ARCHIVE, Kind.FOLDER}:
        gone |= Q(agent_id=upstream_id, kind=Kind.PASSAGE)
    if kind is Kind.AGENT:
        # Blocks, folders and archives outlive their agent in Letta.
        gone |= Q(agent_id=upstream_id, kind__in=(Kind.CONVERSATION, Kind.MESSAGE, Kind.RUN))
    OwnedResource.objects.filter(gone).delete()


async def _follows_agent(user_id: UUID, claim: Claim) -> bool:
    """Ask Letta which agent a thing goes with, and say whether that agent is the user's."""
    find = _FINDERS.get(claim.kind)
    if find is None or not is_id(claim.upstream_id):
        return False
    agents = await find(claim.upstream_id, await letta_user_for(user_id))
    for agent_id in agents:
        if await owns(user_id, Kind.AGENT, (agent_id,)):
            return True
    return False


def _by_own_field(collection: str) -> Callable[[str, str], Awaitable[list[str]]]:
    async def find(upstream_id: str, letta_user_id: str) -> list[str]:
        thing = await client.read(collection, upstream_id, letta_user_id)
        return [thing["agent_id"]] if isinstance(thing, dict) and thing.get("agent_id") else []

    return find


def _by_attachment(collection: str) -> Callable[[str, str], Awaitable[list[str]]]:
    async def find(upstream_id: str, letta_user_id: str) -> list[str]:
        return await client.agents_with(collection, upstream_id, letta_user_id)

    return find


async def _by_members(group_id: str, letta_user_id: str) -> list[str]:
    group = await client.read("groups", group_id, letta_user_id)
    return group.get("agent_ids") or [] if isinstance(group, dict) else []


async def _by_run(message_id: str, letta_user_id: str) -> list[str]:
    """A message names its run, and no agent. One that no run made is nobody's."""
    parts = await client.read("messages", message_id, letta_user_id)
    runs = {part["run_id"] for part in parts or () if part.get("run_id")}
    return await _by_own_field("runs")(runs.pop(), letta_user_id) if len(runs) == 1 else []


_FINDERS: Final[dict[Kind, Callable[[str, str], Awaitable[list[str]]]]] = {
    Kind.ARCHIVE: _by_attachment("archives"),
    Kind.BLOCK: _by_attachment("blocks"),
    Kind.FOLDER: _by_attachment("folders"),
    Kind.CONVERSATION: _by_own_field("conversations"),
    Kind.RUN: _by_own_field("runs"),
    Kind.STEP: _by_own_field("steps"),
    Kind.MESSAGE: _by_run,
    Kind.GROUP: _by_members,
}

# Not "thread sensitive": that would queue all look-ups of the process on one thread.
_recorded_agent = database_sync_to_async(_read_recorded_agent, thread_sensitive=False)
_recorded = database_sync_to_async(_read_recorded, thread_sensitive=False)
_record = database_sync_to_async(record_created_sync, thread_sensitive=False)
_forget = database_sync_to_async(forget_deleted_sync, thread_sensitive=False)
