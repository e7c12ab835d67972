"""Asking for the migration of a fleet, and telling how far it is."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Count, Q

from agents.drivers import manager
from agents.models import LIVING, Agent
from agents.upgrades.fleets.models import FleetAgent, Result
from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.audit.persons import pseudonym_of
from gateway_core.audit.services import record_change
from gateway_core.errors import ResourceConflict, ResourceNotFound
from gateway_core.jobs import services as jobs
from gateway_core.jobs.models import Job

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

    from accounts.models import User
    from agents.upgrades.merging import Choice

KIND: Final = "fleet migration"
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetWish:
    """What staff want of the agents of a template.

    Attributes:
        target_version: a semantic version, or ``latest``.
        filter: ``versions``, ``user_ids``, ``agent_ids``, ``tag``: agents that are all of it.
        canary: below 1 a share, else a number of agents that go first; then the job pauses.
        batch_size: agents that are migrated before other jobs have their turn.
        max_error_rate: a share of a batch; when more of it fail, the job pauses.
    """

    target_version: str
    filter: dict[str, Any] = field(default_factory=dict)
    strategy: Choice | None = None
    is_dry_run: bool = True
    canary: float = 0
    batch_size: int = 50
    max_error_rate: float = 0.1


def ask_for_fleet(*, template_id: UUID, by: User | None, wish: FleetWish) -> Job:
    """Write down what is to be done with which agents; it begins at once, in the background.

    Raises:
        ResourceNotFound: no such template or version, or not for this user.
        ResourceConflict: there is another one of this template that has not ended.
    """
    version = _version(template_id, by, wish.target_version)
    try:
        with only_one(f"{KIND} {template_id}"), transaction.atomic():
            if jobs.unfinished(KIND, str(template_id)) is not None:
                raise ResourceConflict(_ANOTHER)
            return _written_down(str(template_id), version, by, wish)
    except AlreadyRunning as exc:
        raise ResourceConflict(_ANOTHER) from exc


_ANOTHER: Final = "Another migration of this template's agents has not ended. Cancel it first."


def fleet_job(*, template_id: UUID, job_id: UUID) -> Job:
    """Return the job of a fleet's migration.

    Raises:
        ResourceNotFound: there is none.
    """
    job = fleet_jobs(template_id).filter(pk=job_id).first()
    if job is None:
        raise ResourceNotFound
    return job


def fleet_jobs(template_id: UUID) -> QuerySet[Job]:
    """Return the migrations of a template's agents."""
    return Job.objects.filter(kind=KIND, subject=str(template_id))


def report(job: Job) -> QuerySet[FleetAgent]:
    """Return what became of each agent."""
    return FleetAgent.objects.filter(job=job)


def counts(job: Job) -> dict[str, int]:
    """Return how many agents have which result."""
    found = dict(report(job).order_by().values_list("result").annotate(Count("pk")))
    return {result.value: found.get(result.value, 0) for result in Result}


def forget_owner(user_id: UUID) -> int:
    """Put a user's pseudonym wherever reports and wishes name them; return how many lines did."""
    name, pseudonym = str(user_id), pseudonym_of(user_id)
    named = Q(wish__by=name) | Q(wish__filter__user_ids__contains=name)
    for job in Job.objects.filter(named, kind=KIND):
        job.wish = json.loads(json.dumps(job.wish).replace(name, str(pseudonym)))
        job.save(update_fields=("wish",))
    return FleetAgent.objects.filter(owner_id=user_id).update(owner_id=pseudonym)


def steer(*, job: Job, verb: str, by: User | None) -> Job:
    """Pause, resume or cancel.

    Raises:
        ResourceConflict: there is nothing to do that to.
    """
    with transaction.atomic():
        if not {"pause": jobs.pause, "resume": jobs.resume, "cancel": jobs.cancel}[verb](job.pk):
            raise ResourceConflict(f"The migration is {job.state}: there is nothing to {verb}.")
        _record(by, verb, job)
    job.refresh_from_db()
    return job


def _version(template_id: UUID, by: User | None, wanted: str) -> str:
    rows = Agent.objects.filter(template_id=str(template_id), status__in=LIVING)
    agent = rows.select_related("user").first()
    return manager().target_version(
        by=by, owner=agent.user if agent else None, template_id=str(template_id), version=wanted
    )


def _written_down(template_id: str, version: str, by: User | None, wish: FleetWish) -> Job:
    agents = _chosen(template_id, version, wish.filter)
    total = agents.count()
    canary = wish.canary if wish.canary >= 1 else math.ceil(wish.canary * total)
    job = jobs.ask_for(
        KIND,
        subject=template_id,
        wish={
            "target_version": version,
            "filter": wish.filter,
            "strategy": wish.strategy,
            "dry_run": wish.is_dry_run,
            "canary": 0 if wish.is_dry_run else int(canary),
            "batch_size": wish.batch_size,
            "max_error_rate": wish.max_error_rate,
            "by": str(by.pk) if by else None,
        },
    )
    lines = (
        FleetAgent(
            job=job,
            position=position,
            row_id=agent.pk,
            agent_id=agent.agent_id,
            owner_id=agent.user_id,
            from_version=agent.version,
        )
        for position, agent in enumerate(agents.iterator(_BATCH))
    )
    while batch := list(islice(lines, _BATCH)):  # never all of them in memory
        job.total += len(FleetAgent.objects.bulk_create(batch))
    Job.objects.filter(pk=job.pk).update(total=job.total)
    _record(by, "begin", job)
    return job


def _chosen(template_id: str, version: str, chosen: dict[str, Any]) -> QuerySet[Agent]:
    rows = Agent.objects.filter(template_id=template_id, status__in=LIVING)
    rows = rows.exclude(version=version)
    if "versions" in chosen:
        rows = rows.filter(version__in=chosen["versions"])
    if "user_ids" in chosen:
        rows = rows.filter(user_id__in=chosen["user_ids"])
    if "agent_ids" in chosen:
        rows = rows.filter(agent_id__in=chosen["agent_ids"])
    if "tag" in chosen:
        rows = rows.filter(tags__contains=[chosen["tag"]])
    return rows.order_by("created_at", "pk").only("id", "agent_id", "user_id", "version")


def _record(by: User | None, verb: str, job: Job) -> None:
    record_change(
        actor=by,
        action=f"fleet.{verb}",
        resource=f"template:{job.subject}",
        facts={"job": str(job.pk), "total": job.total, "to": job.wish["target_version"]},
    )
