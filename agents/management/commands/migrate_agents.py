from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from agents.upgrades.fleets import services
from agents.upgrades.fleets.models import Result
from agents.upgrades.merging import Choice
from gateway_core.errors import GatewayError
from gateway_core.jobs import services as jobs
from gateway_core.jobs.models import Job
from gateway_core.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser

_UNDER_WAY: Final = frozenset({Job.State.WAITING, Job.State.WORKING})
_LOOK_SECONDS: Final = 0.5
_SHOWN_FAILURES: Final = 10
# By option: the name in a wish, what it is, and what is said of it.
_FILTER: Final = {
    "--from": ("versions", str, "at this version"),
    "--user": ("user_ids", UUID, "of this user, by id"),
    "--agent": ("agent_ids", str, "this one, by its id in Letta"),
    "--tag": ("tag", str, "with this tag"),
}


class Command(BaseCommand):
    """Migrates a fleet in this process. Run again, it goes on where it has stopped."""

    help = (
        "Bring the agents of a template to a version. It pauses after the canary and when too many "
        "agents fail; the same command goes on from there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("template", type=UUID, help="id of the template")
        parser.add_argument("version", help="a semantic version, or latest")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--canary", type=float, default=0, help="a share below 1, or a number")
        parser.add_argument(
            "--batch-size", type=int, default=50, help="agents before other jobs have their turn"
        )
        parser.add_argument(
            "--max-error-rate", type=float, default=0.1, help="of a batch, from 0 to 1"
        )
        which = parser.add_argument_group(
            "filter", "Agents that are all of this; each but --tag may be there several times."
        )
        for option, (name, kind, text) in _FILTER.items():
            action = "store" if name == "tag" else "append"
            which.add_argument(
                option, dest=name, type=kind, action=action, help=text, metavar=option.strip("-")
            )
        parser.add_argument("--strategy", choices=list(Choice), help="for conflicts")

    def handle(self, **options: Any) -> None:
        """Migrate.

        Raises:
            CommandError: there is no such version, an agent has failed, or the migration as a
                whole.
        """
        try:
            job = self._job(options)
        except GatewayError as error:
            raise CommandError(error.detail) from error
        with Progress() as progress:
            show = partial(progress.show, "migrating")
            while job.state in _UNDER_WAY:
                if not jobs.work_on(job.pk, show=show):
                    time.sleep(_LOOK_SECONDS)
                job.refresh_from_db()
                show(job.done, job.total)
                if job.state == Job.State.WAITING and job.error:
                    break
        self._report(job)

    def _job(self, options: dict[str, Any]) -> Job:
        """Return the job that goes on, or a new one."""
        job = jobs.unfinished(services.KIND, str(options["template"]))
        if job is None:
            return services.ask_for_fleet(
                template_id=options["template"], by=None, wish=_wish(options)
            )
        if options["version"] != job.wish["target_version"]:
            raise CommandError(
                f"A migration to {job.wish['target_version']} has not ended. Cancel it first."
            )
        if options["dry_run"] != job.wish["dry_run"]:
            raise CommandError("A migration of the other kind has not ended. Cancel it first.")
        if _filter(options) not in ({}, job.wish["filter"]):
            raise CommandError("A migration of other agents has not ended. Cancel it first.")
        if job.state == Job.State.PAUSED:
            services.steer(job=job, verb="resume", by=None)
        return job

    def _report(self, job: Job) -> None:
        told = services.counts(job)
        self.stdout.write(", ".join(f"{number} {result}" for result, number in told.items()))
        match job.state:
            case Job.State.PAUSED:
                reason = job.result.get("stopped") or "somebody"
                self.stdout.write(f"Paused by {reason}. Run it again to go on.")
            case Job.State.DONE:
                pass
            case _:
                raise CommandError(f"The migration is {job.state}. {job.error}")
        if failed := told[Result.FAILED]:
            lines = services.report(job).filter(result=Result.FAILED)[:_SHOWN_FAILURES]
            reasons = "".join(f"\n  {line.agent_id}: {line.detail}" for line in lines)
            raise CommandError(f"{failed} failed, such as:{reasons}")


def _filter(options: dict[str, Any]) -> dict[str, Any]:
    given = {name: options[name] for name, _kind, _text in _FILTER.values() if options[name]}
    return {
        name: value if name == "tag" else [str(one) for one in value]
        for name, value in given.items()
    }


def _wish(options: dict[str, Any]) -> services.FleetWish:
    return services.FleetWish(
        target_version=options["version"],
        filter=_filter(options),
        strategy=Choice(options["strategy"]) if options["strategy"] else None,
        is_dry_run=options["dry_run"],
        canary=options["canary"],
        batch_size=options["batch_size"],
        max_error_rate=options["max_error_rate"],
    )
