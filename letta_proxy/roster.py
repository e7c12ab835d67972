"""The list of users' agents, which an app above this one keeps: what the data plane tells it.

That app registers a roster. It learns of agents that are made, changed and deleted here, has a word
before one is made, and says which agents are shut. Every process hears of a change of those within
a second, and ends what is under way for an agent that has been suspended.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings

from gateway_core.cache import LocalCache, on_invalidate
from gateway_core.errors import AgentSuspended, Code, ResourceConflict
from gateway_core.proxy.guard import recheck
from letta_proxy.catalogue.operation import operation_of
from letta_proxy.models import Kind
from letta_proxy.ownership import agents_behind, agents_sharing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway_core.errors import GatewayError
    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.ownership import Claim

# What processes tell each other when a user's agents are shut or opened; the key is the user's id.
INVALIDATION_SUBJECT: Final = "shut agents"

_CHANGE: Final = "modify_agent"
_BUSY_SECONDS: Final = 2
# Notes of the exchange: whom it is about, and the roster's entry of an agent that is being made.
_CLAIMS: Final = "claims"
_ENTRY: Final = "roster_entry"
# After these it is known that no agent was made; all others leave it open.
_NOTHING_SENT: Final = frozenset({Code.UPSTREAM_UNREACHABLE, Code.UPSTREAM_CIRCUIT_OPEN})


class Shut(StrEnum):
    """Why nothing reaches an agent."""

    SUSPENDED = "suspended"
    BUSY = "busy"  # the gateway is changing it


class Roster(Protocol):
    """What is told, and asked. Each is called in a thread, outside of transactions.

    Whose an agent is has been put down, or forgotten, by the time a roster is told.
    """

    def shut_agents(self, user_id: UUID) -> Mapping[str, Shut]:
        """Return the user's agents that nothing may reach now, by their ids in Letta."""
        ...

    def expect_agent(self, user_id: UUID, name: str) -> UUID:
        """Enter an agent that is about to be made, and return the entry.

        Raises:
            CountExhausted: the user has as many as they may.
        """
        ...

    def agent_made(self, user_id: UUID, entry: UUID, document: Mapping[str, Any]) -> None:
        """Complete an entry: Letta has made the agent."""
        ...

    def agent_not_made(self, entry: UUID) -> None:
        """Drop an entry: Letta has not made it, and will not."""
        ...

    def agent_changed(self, user_id: UUID, document: Mapping[str, Any]) -> None:
        """Take over what its owner has changed."""
        ...

    def agent_deleted(self, user_id: UUID, agent_id: str) -> None:
        """Drop an agent that its owner has deleted."""
        ...


_rosters: list[Roster] = []
_shut: LocalCache[UUID, Mapping[str, Shut]] = LocalCache(
    "shut_agents", ttl=lambda: settings.CACHE_TTL_USER, max_entries=50_000
)


def register_roster(roster: Roster) -> None:
    """Have a roster told and asked from now on."""
    _rosters[:] = [roster]


async def refuse_shut(exchange: Exchange, claims: Collection[Claim]) -> None:
    """Stop at what goes with an agent that is shut.

    Raises:
        AgentSuspended: it is suspended.
        ResourceConflict: the gateway is changing it.
    """
    exchange.notes.setdefault(_CLAIMS, set()).update(claims)
    await require_open(exchange.principal.user_id, claims)


async def require_open(user_id: UUID, claims: Collection[Claim]) -> None:
    """Stop at what goes with an agent of the user's that is shut; raises as ``refuse_shut``."""
    why = await _why_shut(user_id, claims)
    if why is not None:
        raise _refusal(why)


async def refuse_suspended_meanwhile(exchange: Exchange, user_id: UUID) -> None:
    """Stop a request under way, when it is looked at again, if its agent is suspended by now.

    Raises:
        AgentSuspended: it is.
    """
    claims = exchange.notes.get(_CLAIMS)
    if claims and await _why_shut(user_id, claims) is Shut.SUSPENDED:
        raise AgentSuspended


async def expect_agent(exchange: Exchange) -> None:
    """Enter the agent that a request would make; raises as the roster does."""
    if _rosters and _makes_agent(exchange):
        payload = exchange.payload if isinstance(exchange.payload, dict) else {}
        name = payload.get("name") or ""
        exchange.notes[_ENTRY] = await _in_thread(
            _rosters[0].expect_agent, exchange.principal.user_id, name
        )


async def tell_of_answer(exchange: Exchange, document: Any) -> None:
    """Tell of an agent that was made or changed, once Letta's answer is here."""
    if not _rosters or not isinstance(document, dict):
        return
    user_id = exchange.principal.user_id
    if _makes_agent(exchange) and isinstance(document.get("id"), str):
        entry = exchange.notes.pop(_ENTRY)
        await _in_thread(_rosters[0].agent_made, user_id, entry, document)
    elif operation_of(exchange).name == _CHANGE:
        await _in_thread(_rosters[0].agent_changed, user_id, document)


async def tell_of_end(exchange: Exchange) -> None:
    """Tell of an agent that was deleted, or certainly not made, when a request has ended."""
    if not _rosters or exchange.operation is None:
        return
    entry = exchange.notes.pop(_ENTRY, None)
    if entry is not None and _is_certain(exchange):
        await _in_thread(_rosters[0].agent_not_made, entry)


async def tell_of_deletion(exchange: Exchange, kind: Kind, upstream_id: str) -> None:
    """Tell of a thing that was deleted."""
    if _rosters and kind is Kind.AGENT:
        user_id = exchange.principal.user_id
        await _in_thread(_rosters[0].agent_deleted, user_id, upstream_id)


async def _why_shut(user_id: UUID, claims: Collection[Claim]) -> Shut | None:
    if not _rosters:
        return None
    shut = await _shut.load(user_id, partial(_in_thread, _rosters[0].shut_agents, user_id))
    if not shut:
        return None
    for claim in claims:
        why = await _shut_by(user_id, claim, shut)
        if why is not None:
            return why
    return None


async def _shut_by(user_id: UUID, claim: Claim, shut: Mapping[str, Shut]) -> Shut | None:
    for agent_id in await agents_behind(user_id, claim):
        if agent_id in shut:
            return shut[agent_id]
    sharing = await agents_sharing(user_id, claim)
    # What an open agent remembers, too, is reached through that one anyway.
    is_shut = bool(sharing) and all(agent_id in shut for agent_id in sharing)
    return shut[sharing[0]] if is_shut else None


def _refusal(why: Shut) -> GatewayError:
    if why is Shut.SUSPENDED:
        return AgentSuspended()
    return ResourceConflict(
        "The gateway is changing this agent right now. Repeat the request.",
        retry_after=_BUSY_SECONDS,
    )


def _makes_agent(exchange: Exchange) -> bool:
    return operation_of(exchange).creates.get("/id") is Kind.AGENT


def _is_certain(exchange: Exchange) -> bool:
    """Say whether nothing can come of the request any more."""
    if exchange.upstream_status:
        return exchange.upstream_status >= 400  # noqa: PLR2004 - where errors begin
    return exchange.record.error_code in _NOTHING_SENT


def _begin_anew(user_id: UUID) -> None:
    _shut.forget(user_id)
    recheck(user_id)


# Not "thread sensitive": that would queue all of the process on one thread.
async def _in_thread(function: Any, *arguments: Any) -> Any:
    return await database_sync_to_async(function, thread_sensitive=False)(*arguments)


on_invalidate(INVALIDATION_SUBJECT, lambda key: _begin_anew(UUID(key)))
