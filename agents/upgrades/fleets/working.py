"""The job that migrates a fleet, batch by batch, and stops by itself when too many fail."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from accounts.models import User
from agents.models import Agent, Status
from agents.upgrades.applying import resume
from agents.upgrades.fleets.models import UNDONE, FleetAgent, Result
from agents.upgrades.fleets.services import counts
from agents.upgrades.merging import Choice, Strategy
from agents.upgrades.models import UNFINISHED, Migration
from agents.upgrades.proposing import Wish
from agents.upgrades.services import plan_upgrade, upgrade_agent
from gateway_core.errors import GatewayError, UpstreamUnreachable
from gateway_core.jobs import services as jobs
from gateway_core.jobs.services import LeaseLost
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from gateway_core.jobs.models import Job
    from gateway_core.jobs.services import Progress

_log = get_logger("gateway.agents")

_CANARY: Final = "canary"
_ERRORS: Final = "error rate"


def work(progress: Progress) -> None:
    """Do the next batch of a fleet's migration, and give way to other jobs.

    Raises:
        UpstreamUnreachable: Letta is away; a later attempt goes on.
        LeaseLost: it was paused or cancelled, or has paused itself; or there is another batch.
    """
    job = progress.job
    wish, by = job.wish, User.objects.filter(pk=job.wish["by"]).first()
    told = counts(job)
    waiting = told[Result.WAITING] + told.pop(Result.WORKING)
    counted = {**told, Result.WAITING: waiting}
    progress.note(done=job.total - waiting, counts=counted, stopped="")
    _rest_after_canary(progress)
    size, failed_before = _batch_size(job), told[Result.FAILED]
    for line in islice(iter(lambda: _next(job.pk), None), size):
        _save(line, Result.WORKING)
        _migrate(line, wish, by)
        _count(progress, line.result)
        failed = job.result["counts"][Result.FAILED] - failed_before
        if failed > wish["max_error_rate"] * size and job.done < job.total:
            _rest(progress, _ERRORS)
    _rest_after_canary(progress)
    if job.done < job.total:
        jobs.give_way(job.pk)
        raise LeaseLost


def _batch_size(job: Job) -> int:
    """Return how many agents come next: the canary is a batch, or some, of its own."""
    canary = job.wish["canary"]
    end = canary if job.done < canary < job.total else job.total
    return min(int(job.wish["batch_size"]), end - job.done)


def _next(job_id: Any) -> FleetAgent | None:
    lines = FleetAgent.objects.filter(job_id=job_id, result__in=UNDONE)
    return lines.select_related("row__user").order_by("position").first()


def _migrate(line: FleetAgent, wish: dict[str, Any], by: User | None) -> None:
    try:
        agent = _at_rest(line)
        if agent is None:
            _save(line, Result.UNCHANGED, detail="It is gone.")
        elif agent.version == wish["target_version"]:
            migration = Migration.objects.filter(agent=agent).first()
            is_ours = migration is not None and line.from_version == migration.from_version
            _save(
                line,
                Result.MIGRATED if is_ours else Result.UNCHANGED,
                migration=migration if is_ours else None,
            )
        elif wish["dry_run"]:
            _plan(line, agent, wish)
        else:
            migration = upgrade_agent(agent=agent, by=by, wish=_wish_for_one(wish))
            _save(line, Result.MIGRATED, migration=migration, plan=migration.plan)
    except UpstreamUnreachable:
        raise
    except GatewayError as error:
        # Only what somebody has to choose about names places.
        result = Result.CONFLICT if _is_conflict(error) else Result.FAILED
        _save(line, result, detail=error.detail[:500], conflicts=error.errors)


def _plan(line: FleetAgent, agent: Agent, wish: dict[str, Any]) -> None:
    said = plan_upgrade(agent=agent, wish=_wish_for_one(wish))
    result = Result.CONFLICT if said["conflicts"] else Result.PLANNED
    _save(line, result, plan=said["plan"], conflicts=said["conflicts"])


def _at_rest(line: FleetAgent) -> Agent | None:
    """Return the agent, after what a process has died over is brought to an end."""
    agent = line.row
    if agent is None or agent.status != Status.UPGRADING or line.result != Result.WORKING:
        return agent
    left = Migration.objects.filter(agent=agent, state__in=UNFINISHED).select_related("agent")
    if migration := left.first():
        resume(migration)
    agent.refresh_from_db()
    return agent


def _wish_for_one(wish: dict[str, Any]) -> Wish:
    choice = wish["strategy"]
    return Wish(
        target_version=wish["target_version"],
        strategy=Strategy(in_all=Choice(choice) if choice else None),
    )


def _is_conflict(error: GatewayError) -> bool:
    return error.status == 409 and bool(error.errors)  # noqa: PLR2004 - HTTP's


def _save(line: FleetAgent, result: Result, **fields: Any) -> None:
    line.result = result
    for name, value in fields.items():
        setattr(line, name, value)
    # Not all of it: its owner may have been erased meanwhile.
    line.save(update_fields=("result", *fields))


def _count(progress: Progress, result: str) -> None:
    told = dict(progress.job.result["counts"])
    told[result] += 1
    told[Result.WAITING] -= 1
    progress.note(done=progress.job.total - told[Result.WAITING], counts=told)


def _rest_after_canary(progress: Progress) -> None:
    job = progress.job
    is_there = 0 < job.wish["canary"] == job.done < job.total
    if is_there and not job.result.get("is_past_canary"):
        _rest(progress, _CANARY)


def _rest(progress: Progress, reason: str) -> None:
    job = progress.job
    progress.note(stopped=reason, is_past_canary=job.done >= job.wish["canary"])
    _log.info("fleet migration rests", job_id=str(job.pk), reason=reason)
    jobs.pause(job.pk)
    raise LeaseLost
