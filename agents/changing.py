"""What is done to agents that are there: changed, suspended, resumed, deleted."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from agents import entries
from agents.drivers import manager
from agents.models import LIVING, Agent, Status, SuspendedBy
from gateway_core.errors import (
    EtagMismatch,
    GatewayError,
    ResourceNotFound,
    UpstreamError,
    UpstreamUnreachable,
)
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accounts.models import User

_log = get_logger("gateway.agents")

_DELETABLE: Final = frozenset({Status.ACTIVE, Status.SUSPENDED, Status.FAILED, Status.DELETING})


def update_agent(
    *, agent: Agent, by: User, changes: Mapping[str, Any], revision: int | None = None
) -> Agent:
    """Change name, description, tags or metadata, here and in Letta.

    Args:
        revision: what the row has to be at, None for any.

    Raises:
        EtagMismatch: it is at another one.
        ResourceConflict: the agent is not in a state to be changed.
        AgentSuspended: it is its owner's who changes it, and staff have suspended it.
        UpstreamError: Letta failed; the row says again what it said before.
    """
    before: dict[str, Any] = {}

    def take(row: Agent) -> None:
        row.require_open_to(by)
        before.update({name: getattr(row, name) for name in changes})
        _set(row, changes)

    row = entries.change(
        agent.pk,
        take,
        among=LIVING,
        by=by,
        action="change",
        revision=revision,
    )
    try:
        manager().apply(user_id=row.user_id, agent_id=row.agent_id, tag=row.tag, body=changes)
    except GatewayError:
        with suppress(GatewayError):  # whoever has changed it meanwhile knows better
            entries.change(
                agent.pk,
                lambda row: _set(row, before),
                among=LIVING,
                by=None,
                action="",
                revision=row.revision,
            )
        raise
    return row


def suspend_agent(*, agent: Agent, by: User, revision: int | None = None) -> Agent:
    """Keep all requests from an agent, within a second in every process.

    What staff have suspended only staff resume.

    Args:
        revision: what the row has to be at, None for any.

    Raises:
        EtagMismatch: it is at another one.
        ResourceConflict: the agent is not in a state to be suspended.
    """
    is_own = by.pk == agent.user_id
    whose = SuspendedBy.OWNER if is_own else SuspendedBy.STAFF

    def suspend(row: Agent) -> bool | None:
        if row.status == Status.SUSPENDED and (is_own or row.suspended_by == whose):
            return False
        row.become(Status.SUSPENDED, suspended_by=whose)
        return None

    row = entries.change(
        agent.pk, suspend, among=LIVING, by=by, action="suspend", revision=revision
    )
    _tell_driver(row, is_suspended=True)
    return row


def resume_agent(*, agent: Agent, by: User, revision: int | None = None) -> Agent:
    """Let requests through to an agent again.

    Args:
        revision: what the row has to be at, None for any.

    Raises:
        EtagMismatch: it is at another one.
        AgentSuspended: it is its owner's who resumes it, and staff have suspended it.
        ResourceConflict: the agent is not in a state to be resumed.
    """

    def resume(row: Agent) -> bool | None:
        if row.status == Status.ACTIVE:
            return False
        row.require_open_to(by)
        row.become(Status.ACTIVE)
        return None

    row = entries.change(agent.pk, resume, among=LIVING, by=by, action="resume", revision=revision)
    _tell_driver(row, is_suspended=False)
    return row


def delete_agent(*, agent: Agent, by: User | None, revision: int | None = None) -> None:
    """Delete an agent with its memory. Once more brings an attempt that broke off to an end.

    Args:
        revision: what the row has to be at, None for any.

    Raises:
        EtagMismatch: it is at another one.
        ResourceConflict: the agent is not in a state to be deleted.
        AgentSuspended: it is its owner's who deletes it, and staff have suspended it.
        UpstreamUnreachable: nothing has happened.
        UpstreamError: Letta failed; the agent is being deleted, and ``reconcile`` goes on with it.
    """
    before: list[str] = []

    def begin(row: Agent) -> None:
        row.require_open_to(by)
        before[:] = [row.status, row.suspended_by]
        row.become(Status.DELETING)

    row = entries.change(agent.pk, begin, among=_DELETABLE, by=None, action="", revision=revision)
    try:
        manager().delete(user_id=row.user_id, agent_id=row.agent_id)
    except UpstreamUnreachable:
        _give_back(row, *before)
        raise
    except UpstreamError as error:
        entries.note_error(row, error.detail)
        raise
    entries.drop(row, by=by, action="delete")


def _give_back(row: Agent, status: str, suspended_by: str) -> None:
    with suppress(ResourceNotFound, EtagMismatch):
        entries.change(
            row.pk,
            lambda row: row.become(Status(status), suspended_by=SuspendedBy(suspended_by)),
            among=(Status.DELETING,),
            by=None,
            action="",
            revision=row.revision,
        )


def _set(row: Agent, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        setattr(row, name, value)
    row.revision += 1


def _tell_driver(row: Agent, *, is_suspended: bool) -> None:
    """A remote AMS may show it. The gateway is what keeps requests away."""
    try:
        manager().set_suspended(
            user_id=row.user_id, agent_id=row.agent_id, is_suspended=is_suspended
        )
    except GatewayError as error:
        _log.warning("remote AMS not told", agent=str(row.pk), error=str(error))
