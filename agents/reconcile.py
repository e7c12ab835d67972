"""Bringing the rows of agents and Letta's agents together, after a crash or a loss.

What is younger than the grace may still be under way, and is left alone. Of a user's agents Letta
is asked first, and the rows are read after that: what is made meanwhile is in both or in neither.
No row is dropped before Letta has said of that very agent that it is not there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

from django.db import DataError, transaction
from django.utils import timezone

from agents import entries
from agents.drivers import manager
from agents.drivers.interface import Made
from agents.models import OWN_TAG, UNSETTLED, Agent, Origin, Status
from agents.upgrades.applying import resume
from agents.upgrades.models import Migration
from gateway_core.errors import GatewayError, UpstreamUnreachable
from gateway_core.logging import get_logger
from letta_proxy import services as letta

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from uuid import UUID

    from agents.drivers.interface import AgentManager
    from letta_proxy.services import FoundAgent

_log = get_logger("gateway.agents")

GRACE_SECONDS: Final = 300.0
# What Letta itself makes beside an agent.
_BESIDE: Final = "sleeptime"


class Repair(StrEnum):
    """What can be out of step, and becomes of it."""

    COMPLETED = "creations completed"
    UNDONE = "creations undone"
    DELETED = "deletions finished"
    MIGRATED = "upgrades brought to an end"
    LOST = "rows of lost agents dropped"
    FORGOTTEN = "owners of lost agents forgotten"
    ORPHANED = "unused agents of no row deleted"
    ADOPTED = "agents adopted"
    OWNED = "owners put back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing out of step.

    Attributes:
        mend: brings it into step; raises GatewayError.
    """

    repair: Repair
    user_id: UUID
    what: str
    mend: Callable[[], object] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.repair}: {self.what} of user {self.user_id}"


@dataclass(slots=True)
class Outcome:
    """What was found, and what failed."""

    users: int = 0
    counts: Counter[Repair] = field(default_factory=Counter)
    failed: int = 0


def reconcile(
    *,
    user_ids: Collection[UUID] | None = None,
    grace_seconds: float = GRACE_SECONDS,
    is_dry_run: bool = False,
    show: Callable[[int, int], None] = lambda _done, _total: None,
    tell: Callable[[Finding], None] = lambda _finding: None,
) -> Outcome:
    """Bring both sides together for these users, or for all.

    Args:
        show: told how many users are done, and of how many.
        tell: told of each finding before it is mended.

    Raises:
        UpstreamUnreachable: Letta or AMS is away. What is done stays done.
    """
    chosen = sorted(user_ids) if user_ids is not None else _everybody()
    outcome = Outcome()
    for done, user_id in enumerate(chosen, 1):
        try:
            for finding in findings(user_id, grace_seconds=grace_seconds):
                tell(finding)
                if not is_dry_run:
                    finding.mend()
                    _log.info("agents reconciled", repair=finding.repair, what=finding.what)
                outcome.counts[finding.repair] += 1
        except UpstreamUnreachable:
            raise
        except (GatewayError, DataError) as error:  # nobody's agents keep others' from it
            outcome.failed += 1
            _log.warning("agents not reconciled", user_id=str(user_id), error=str(error))
        outcome.users = done
        show(done, len(chosen))
    return outcome


def findings(user_id: UUID, *, grace_seconds: float = GRACE_SECONDS) -> Iterator[Finding]:
    """Yield what is out of step for a user."""
    yield from _Comparison(user_id, timezone.now() - timedelta(seconds=grace_seconds)).findings()


def _everybody() -> list[UUID]:
    with_rows = Agent.objects.order_by().values_list("user_id", flat=True).distinct()
    return sorted({*letta.account_holders(), *with_rows})


@dataclass
class _Comparison:
    """A user's agents on both sides.

    Attributes:
        before: what is older than this is under way no more.
    """

    user_id: UUID
    before: datetime

    @cached_property
    def driver(self) -> AgentManager:
        return manager()

    @cached_property
    def found(self) -> dict[str, FoundAgent]:
        if not letta.has_account(self.user_id):
            return {}
        return {agent.agent_id: agent for agent in self.driver.agents_of(self.user_id)}

    @cached_property
    def rows(self) -> list[Agent]:
        return list(Agent.objects.of(self.user_id).order_by("created_at"))

    @cached_property
    def owned(self) -> dict[str, str]:
        return letta.owned_agents(self.user_id)

    def findings(self) -> Iterator[Finding]:
        """Yield everything, Letta's list being read first."""
        found, rows = self.found, self.rows
        for row in rows:
            if row.status in UNSETTLED:
                yield from self._of_unsettled(row)
            elif row.status == Status.UPGRADING and row.agent_id in self.found:
                yield from self._of_upgrading(row)
            else:
                yield from self._of_settled(row)
        known = {row.agent_id for row in rows} | {
            agent.agent_id for row in rows for agent in self._tagged(row)
        }
        for agent in found.values():
            if agent.agent_id not in known and _made_at(agent) < self.before:
                yield from self._of_rowless(agent)
        for agent_id in self.owned.keys() - found.keys() - known:
            if self._is_gone(agent_id):
                yield self._finding(Repair.FORGOTTEN, agent_id, partial(_forget_owner, agent_id))

    def _of_unsettled(self, row: Agent) -> Iterator[Finding]:
        if row.status_at >= self.before:
            return
        made = self._tagged(row)
        if row.status == Status.DELETING:
            yield self._finding(Repair.DELETED, row.agent_id, partial(self._finish_deletion, row))
        elif row.origin == Origin.TEMPLATE and made:
            yield self._finding(
                Repair.COMPLETED, made[0].agent_id, partial(self._complete, row, made)
            )
        else:
            yield self._finding(Repair.UNDONE, f"row {row.pk}", partial(self._undo, row, made))

    def _of_upgrading(self, row: Agent) -> Iterator[Finding]:
        for migration in Migration.objects.filter(agent=row).left_behind(self.before):
            yield self._finding(Repair.MIGRATED, row.agent_id, partial(resume, migration))

    def _of_settled(self, row: Agent) -> Iterator[Finding]:
        if row.agent_id not in self.found:
            if self._is_gone(row.agent_id):
                drop = partial(entries.drop, row, action="lose")
                yield self._finding(Repair.LOST, row.agent_id, drop)
        elif row.agent_id not in self.owned:
            yield self._finding(Repair.OWNED, row.agent_id, partial(self._own, row.agent_id))

    def _of_rowless(self, agent: FoundAgent) -> Iterator[Finding]:
        """Tell apart what was never handed out, what came beside another agent, and the rest.

        An agent is on record as somebody's before anybody hears of it.
        """
        # On Letta Cloud users have tags, too.
        of_user = f"{OWN_TAG}{self.user_id}"
        is_tagged = any(tag.startswith(OWN_TAG) and tag != of_user for tag in agent.tags)
        is_owned = agent.agent_id in self.owned
        if is_tagged and not is_owned and not agent.was_used:
            delete = partial(self.driver.delete, user_id=self.user_id, agent_id=agent.agent_id)
            yield self._finding(Repair.ORPHANED, agent.agent_id, delete)
        elif _BESIDE in agent.agent_type or self.owned.get(agent.agent_id):
            if not is_owned:
                yield self._finding(
                    Repair.OWNED, agent.agent_id, partial(self._own, agent.agent_id)
                )
        else:
            yield self._finding(
                Repair.ADOPTED, agent.agent_id, partial(self._adopt, agent.agent_id)
            )

    def _complete(self, row: Agent, made: list[FoundAgent]) -> None:
        first, *others = made
        document = self.driver.receive(user_id=self.user_id, agent_id=first.agent_id)
        if document is not None:
            entries.complete(row, Made(document=document), by=None)
        for agent in others:
            self.driver.delete(user_id=self.user_id, agent_id=agent.agent_id)

    def _undo(self, row: Agent, made: list[FoundAgent]) -> None:
        for agent in made:
            self.driver.delete(user_id=self.user_id, agent_id=agent.agent_id)
        entries.drop(row, action="undo")

    def _finish_deletion(self, row: Agent) -> None:
        self.driver.delete(user_id=self.user_id, agent_id=row.agent_id)
        entries.drop(row, action="delete")

    def _own(self, agent_id: str) -> None:
        document = self.driver.read(user_id=self.user_id, agent_id=agent_id)
        if document is not None:
            letta.record_agent(user_id=self.user_id, document=document)

    def _adopt(self, agent_id: str) -> None:
        document = self.driver.receive(user_id=self.user_id, agent_id=agent_id)
        if document is None:
            return
        row = Agent(user_id=self.user_id, origin=Origin.LETTA)
        with transaction.atomic():
            row.save(force_insert=True)
            entries.complete(row, Made(document=document), by=None, action="adopt")

    def _tagged(self, row: Agent) -> list[FoundAgent]:
        return [agent for agent in self.found.values() if row.tag in agent.tags]

    def _is_gone(self, agent_id: str) -> bool:
        """Ask Letta, unless the user has nothing there: asking would make them an account."""
        if not letta.has_account(self.user_id):
            return True
        return self.driver.read(user_id=self.user_id, agent_id=agent_id) is None

    def _finding(self, repair: Repair, what: str, mend: Callable[[], object]) -> Finding:
        return Finding(repair=repair, user_id=self.user_id, what=what, mend=mend)


def _made_at(agent: FoundAgent) -> datetime:
    """Return when an agent was made; one that doesn't say was made long ago."""
    try:
        made = datetime.fromisoformat(agent.created_at)
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.get_default_timezone())
    return made if made.tzinfo else made.replace(tzinfo=timezone.get_default_timezone())


def _forget_owner(agent_id: str) -> None:
    letta.forget_deleted_sync(letta.Kind.AGENT, agent_id)
