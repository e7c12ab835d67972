"""Migrations carried out: begun, done step by step, ended or undone, by whichever process.

While one is under way nothing reaches its agent. Each step is written down once it is done, so that
after a crash ``resume`` goes on, or back, from there.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils import timezone

from agents import entries
from agents.drivers import manager
from agents.models import LIVING, Agent, Status, SuspendedBy
from agents.upgrades import remotely
from agents.upgrades.models import UNFINISHED, Direction, Migration, MigrationState
from agents.upgrades.performing import perform
from agents.upgrades.plan import Op, Step
from agents.upgrades.proposing import existing
from agents.variables import all_variables, set_variables
from gateway_core import context
from gateway_core.audit.services import record_change
from gateway_core.errors import (
    GatewayError,
    ResourceConflict,
    ResourceNotFound,
    UpstreamError,
    UpstreamUnreachable,
)
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from accounts.models import User

_log = get_logger("gateway.agents")

_ACTIONS: Final = {Direction.UPGRADE: "upgrade", Direction.ROLLBACK: "roll_back"}


def begin(
    agent: Agent, direction: Direction, *, by: User | None, revision: int | None, **fields: Any
) -> Migration:
    """Keep everything else from an agent, and note that and why.

    Raises:
        ResourceConflict: it is not in a state to be migrated.
        AgentSuspended: it is its owner's who wants it, and staff have suspended it.
        EtagMismatch: it is at another revision.
    """
    begun: list[Migration] = []

    def take(row: Agent) -> None:
        row.require_open_to(by)
        begun.append(Migration.begun(row, direction, by=by, **fields))
        row.become(Status.UPGRADING)

    with transaction.atomic():
        row = entries.change(agent.pk, take, among=LIVING, by=None, action="", revision=revision)
        (migration,) = begun
        migration.agent = row
        migration.save(force_insert=True)
    return migration


@contextmanager
def given_back(migration: Migration) -> Iterator[None]:
    """Leave no trace of a migration that comes to nothing before its first step."""
    try:
        yield
    except GatewayError:
        with transaction.atomic():
            _release(migration)
            migration.delete()
        raise


def write_down(  # noqa: PLR0913 - each is one part of what is written down
    migration: Migration,
    *,
    steps: Sequence[Step],
    to_version: str,
    warnings: Sequence[str],
    content: dict[str, Any],
    strategy: Mapping[str, Any],
) -> None:
    """Write down all that is going to be done, and what there was before."""
    migration.encrypt({"steps": [step.as_json() for step in steps], **content})
    migration.touch(
        MigrationState.APPLYING,
        encrypted=migration.encrypted,
        to_version=to_version,
        plan=[step.as_line() for step in steps],
        warnings=list(warnings),
        strategy=dict(strategy),
    )


def carry_out(migration: Migration) -> Migration:
    """Do what is left of a migration.

    Raises:
        ResourceConflict: the agent wrote where a step would have.
        GatewayError: a step failed. The agent is as it was, or will be.
    """
    content = migration.decrypt()
    try:
        if "remote" in content:
            origin, document = remotely.carry_out(migration, content)
        else:
            _do_steps(migration, _steps_in(content))
            origin, document = content["origin_after"], existing(manager(), migration.agent)
    except GatewayError as error:
        if not ("remote" in content and _is_open(error)):
            undo(migration, error.detail)
        raise
    _finish(migration, origin, document)
    return migration


def undo(migration: Migration, error: str) -> None:
    """Take back what was done of a migration; what can't be now is left to ``resume``."""
    migration.touch(MigrationState.UNDOING, error=error[:500])
    content = migration.decrypt()
    steps = _steps_in(content)
    driver = manager()
    try:
        # The one that failed may have been done.
        for step in reversed(steps[: migration.steps_done + 1]):
            perform(step.inverse, agent=migration.agent, driver=driver)
            migration.touch()
    except ResourceNotFound:
        _log.warning("agent lost during its migration", migration=str(migration.pk))
    except GatewayError as failure:
        _log.warning("migration not undone", migration=str(migration.pk), error=str(failure))
        return
    with transaction.atomic():
        _release(migration)
        _record(migration, "fail_upgrade")
        migration.touch(MigrationState.FAILED)
    context.nothing_remains()


def resume(migration: Migration) -> None:
    """Bring a migration that nobody works on to an end.

    Raises:
        GatewayError: it failed; the agent is as it was, or will be.
    """
    touched_at = migration.touched_at
    state = MigrationState(migration.state)
    still = Migration.objects.filter(pk=migration.pk, touched_at=touched_at, state__in=UNFINISHED)
    migration.touched_at = timezone.now()
    if not still.update(touched_at=migration.touched_at):
        return
    match state:
        case MigrationState.PLANNING:
            with transaction.atomic():
                _release(migration)
                migration.delete()
        case MigrationState.APPLYING:
            carry_out(migration)
        case _:
            undo(migration, migration.error)


def origin_of(agent: Agent) -> dict[str, Any]:
    """Return what a row says its agent is made from, as JSON values with secrets."""
    return {
        "template_version_id": agent.template_version_id,
        "template_id": agent.template_id,
        "version": agent.version,
        "checksum": agent.checksum,
        "built_from": agent.built_from,
        "variables": all_variables(agent),
        "secret_names": agent.secret_names,
    }


def _is_open(error: GatewayError) -> bool:
    """Say whether a remote AMS may have done it: it is asked again, by the same key."""
    return isinstance(error, UpstreamError) and not isinstance(error, UpstreamUnreachable)


def _do_steps(migration: Migration, steps: Sequence[Step]) -> None:
    driver = manager()
    for index in range(migration.steps_done, len(steps)):
        step = steps[index]
        if not perform(step, agent=migration.agent, driver=driver):
            raise ResourceConflict(
                f"{step.pointer} was changed while the agent was upgraded. It is as it was before. "
                "Ask for the plan again."
            )
        migration.touch(steps_done=index + 1)


def _steps_in(content: Mapping[str, Any]) -> list[Step]:
    return [Step(**{**step, "op": Op(step["op"])}) for step in content["steps"]]


def _finish(migration: Migration, origin: Mapping[str, Any], document: dict[str, Any]) -> None:
    def take(row: Agent) -> None:
        values = dict(origin)
        set_variables(row, values.pop("variables"), frozenset(values.pop("secret_names")))
        for name, value in values.items():
            setattr(row, name, value)
        row.resembles(document)

    with transaction.atomic():
        row = _release(migration, take)
        _record(migration, _ACTIONS[Direction(migration.direction)], to=origin["version"])
        migration.touch(MigrationState.APPLIED, error="", to_version=origin["version"])
        if migration.reverts_id:
            Migration.objects.filter(pk=migration.reverts_id).update(
                state=MigrationState.ROLLED_BACK
            )
    if row is not None:
        migration.agent = row


def _release(migration: Migration, change: Callable[[Agent], None] | None = None) -> Agent | None:
    """Give an agent back the status that it had; None when its row is gone."""

    def release(row: Agent) -> None:
        if change is not None:
            change(row)
        row.become(
            Status(migration.status_before), suspended_by=SuspendedBy(migration.suspended_by_before)
        )

    try:
        return entries.change(
            migration.agent_id, release, among=(Status.UPGRADING,), by=None, action=""
        )
    except ResourceNotFound:
        return None


def _record(migration: Migration, action: str, **facts: str) -> None:
    agent = migration.agent
    record_change(
        actor=migration.by,
        action=f"agent.{action}",
        resource=f"agent:{agent.pk}",
        facts={
            "agent_id": agent.agent_id,
            "user": str(agent.user_id),
            "migration": str(migration.pk),
            "from": migration.from_version,
            **facts,
        },
    )
