"""Rows of agents, from the intent to the end: each function is one transaction.

A row is written before anything happens in Letta and goes last, so that whatever breaks off in
between is found again: by the row, or by the row's tag on the agent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts.models import Denial, User
from accounts.plans.services import limits_for
from agents.models import SHUT, Agent, Status
from gateway_core import cache
from gateway_core.audit.services import record_change
from gateway_core.errors import (
    CountExhausted,
    EtagMismatch,
    ResourceConflict,
    ResourceNotFound,
)
from letta_proxy import services as letta

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from agents.drivers.interface import Made


def enter(agent: Agent) -> Agent:
    """Store a new row, if its user may have one more agent.

    Raises:
        CountExhausted: they have as many as their plan allows.
        TokenRejected, AccountSuspended: they were shut out while their request was under way.
    """
    with transaction.atomic():
        # One at a time for each user: two requests never count the same agents.
        User.objects.select_for_update(no_key=True).filter(pk=agent.user_id).first()
        # Erasing goes through the stores once: a row behind its back would keep the template.
        if denial := Denial.objects.find(agent.user_id):
            raise denial.as_error()
        most = limits_for(agent.user_id).max_agents
        count = Agent.objects.filter(user_id=agent.user_id).count()
        if most is not None and count >= most:
            raise CountExhausted(
                f"You have {count} agents and may have {most}. Delete one that you don't need."
            )
        agent.save(force_insert=True)
    return agent


def complete(
    agent: Agent,
    made: Made,
    *,
    by: User | None,
    action: str = "create",
    is_recorded: bool = False,
) -> Agent:
    """Make an agent that Letta has made its user's, and the row active.

    Args:
        is_recorded: the data plane has put down already whose it is.

    Raises:
        ResourceConflict: the row is gone meanwhile.
    """
    with transaction.atomic():
        row = Agent.objects.select_for_update(no_key=True).filter(pk=agent.pk).first()
        if row is None or row.status != Status.CREATING:
            raise ResourceConflict("The agent was given up while it was being made. Try again.")
        if not is_recorded:
            letta.record_agent(user_id=row.user_id, document=made.document)
        row.become(Status.ACTIVE, agent_id=made.document["id"], last_error="")
        row.version, row.checksum = made.version or row.version, made.checksum or row.checksum
        row.resembles(made.document)
        row.save()
        _record(row, by, action, origin=row.origin, template=row.template_id, version=row.version)
    return row


def note_error(agent: Agent, error: str) -> None:
    """Write down why a row is still unsettled."""
    Agent.objects.filter(pk=agent.pk).update(last_error=error[:500])


def drop(
    agent: Agent, *, by: User | None = None, action: str = "", is_forgotten: bool = False
) -> None:
    """Delete a row and forget whose its agent was.

    Args:
        action: what goes on the trail, if anything.
        is_forgotten: the data plane has forgotten already whose it was.
    """
    with transaction.atomic():
        Agent.objects.filter(pk=agent.pk).delete()
        if agent.agent_id and not is_forgotten:
            letta.forget_deleted_sync(letta.Kind.AGENT, agent.agent_id)
        if action:
            _record(agent, by, action)
        if _is_shut(agent):
            tell_shut(agent.user_id)


def change(  # noqa: PLR0913 - each says one thing about the change
    agent_pk: UUID,
    change_row: Callable[[Agent], Any],
    *,
    among: Collection[Status],
    by: User | None,
    action: str,
    revision: int | None = None,
) -> Agent:
    """Change a row that is in one of these states, and return it.

    Args:
        change_row: changes it in memory; False says that there is nothing to change.
        action: what goes on the trail, if anything.
        revision: what the row has to be at.

    Raises:
        ResourceNotFound: it is gone.
        ResourceConflict: it is in another state.
        EtagMismatch: it is at another revision.
    """
    with transaction.atomic():
        row = Agent.objects.select_for_update(no_key=True).filter(pk=agent_pk).first()
        if row is None:
            raise ResourceNotFound
        if row.status not in among:
            raise ResourceConflict(f"The agent is {row.status}. This can't be done to it now.")
        if revision is not None and row.revision != revision:
            raise EtagMismatch
        shut_before = _is_shut(row)
        if change_row(row) is False:
            return row
        row.save()
        if action:
            _record(row, by, action)
        if shut_before or _is_shut(row):
            tell_shut(row.user_id)
    return row


def take_over(agent: Agent, document: dict[str, Any]) -> None:
    """Have a row say what Letta's document of the agent says, if that is something else."""
    with transaction.atomic():
        row = Agent.objects.select_for_update(no_key=True).filter(pk=agent.pk).first()
        if row is None:
            return
        before = row.appearance
        row.resembles(document)
        if row.appearance != before:
            row.revision += 1
            row.save()


def tell_shut(user_id: UUID) -> None:
    """Have every process ask again which of a user's agents are shut, after the commit."""
    transaction.on_commit(partial(cache.invalidate, letta.SHUT_AGENTS, str(user_id)))


def _is_shut(agent: Agent) -> bool:
    return agent.status in SHUT


def _record(agent: Agent, by: User | None, action: str, **facts: Any) -> None:
    record_change(
        actor=by,
        action=f"agent.{action}",
        resource=f"agent:{agent.pk}",
        facts={"agent_id": agent.agent_id, "user": str(agent.user_id), **facts},
    )
