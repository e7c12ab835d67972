"""What Letta's own API tells of agents: they are in the same list, under the same quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents import entries
from agents.drivers.interface import Made
from agents.models import NAME_MAX_LENGTH, Agent, Origin, Status
from letta_proxy import services as letta
from letta_proxy.services import Shut

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_SHUT = {Status.SUSPENDED: Shut.SUSPENDED, Status.UPGRADING: Shut.BUSY}


class AgentRoster:
    """The list of users' agents, for the data plane, which itself keeps whose they are."""

    def shut_agents(self, user_id: UUID) -> Mapping[str, Shut]:
        """Return the user's agents that nothing may reach now.

        One that Letta has made beside another one writes that one's memory, so it is shut, too.
        """
        rows = Agent.objects.filter(user_id=user_id, status__in=_SHUT)
        shut = {
            agent_id: _SHUT[Status(status)]
            for agent_id, status in rows.values_list("agent_id", "status")
        }
        owned = letta.owned_agents(user_id) if shut else {}
        return {**{one: shut[of] for one, of in owned.items() if of in shut}, **shut}

    def expect_agent(self, user_id: UUID, name: str) -> UUID:
        """Enter an agent that Letta is about to make, if the user may have one more."""
        row = Agent(user_id=user_id, origin=Origin.LETTA, name=str(name)[:NAME_MAX_LENGTH])
        return entries.enter(row).pk

    def agent_made(self, user_id: UUID, entry: UUID, document: Mapping[str, Any]) -> None:
        """Complete the entry."""
        row = Agent.objects.filter(pk=entry, user_id=user_id).first()
        if row is not None:
            entries.complete(row, Made(document=dict(document)), by=row.user, is_recorded=True)

    def agent_not_made(self, entry: UUID) -> None:
        """Drop the entry."""
        Agent.objects.filter(pk=entry, status=Status.CREATING).delete()

    def agent_changed(self, user_id: UUID, document: Mapping[str, Any]) -> None:
        """Take over name, description, tags, metadata and models."""
        row = Agent.objects.of(user_id).called(str(document.get("id") or "")).first()
        if row is not None:
            entries.take_over(row, dict(document))

    def agent_deleted(self, user_id: UUID, agent_id: str) -> None:
        """Drop the row."""
        row = Agent.objects.of(user_id).called(agent_id).first()
        if row is not None:
            entries.drop(row, by=row.user, action="delete", is_forgotten=True)
