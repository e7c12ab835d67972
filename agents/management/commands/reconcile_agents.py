from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.people import users_named
from agents.reconcile import GRACE_SECONDS, Repair, reconcile
from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.errors import GatewayError
from gateway_core.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from uuid import UUID

    from agents.reconcile import Finding, Outcome


class Command(BaseCommand):
    """Brings rows and Letta together; can be run at any time, and again after a failure."""

    help = (
        "Compare users' agents in Letta with those that the gateway has on record: finish what a "
        "process has left half done, drop what Letta has lost, adopt what the gateway has lost, "
        "delete what nobody has ever heard of."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--user", metavar="ID", help="id or e-mail; everybody without it")
        parser.add_argument(
            "--grace",
            type=float,
            default=GRACE_SECONDS,
            metavar="SECONDS",
            help="leave alone what is younger: it may be under way (%(default)s)",
        )

    def handle(self, **options: Any) -> None:
        """Reconcile.

        Raises:
            CommandError: a bad option, another process is at it, Letta is away, or a user failed.
        """
        if options["grace"] < 0:
            raise CommandError("--grace is not negative.")
        try:
            with only_one("reconcile_agents"), Progress() as progress:
                outcome = reconcile(
                    user_ids=self._users(options["user"]),
                    grace_seconds=options["grace"],
                    is_dry_run=options["dry_run"],
                    show=lambda done, total: progress.show("comparing", done, total),
                    tell=self._teller(options),
                )
        except AlreadyRunning as exc:
            raise CommandError("Another process is at it.") from exc
        except GatewayError as error:
            raise CommandError(
                f"Letta at {settings.LETTA_BASE_URL}: {error.detail} Nothing is lost: run it again."
            ) from error
        self._report(outcome, is_dry_run=options["dry_run"])

    def _users(self, named: str | None) -> list[UUID] | None:
        if named is None:
            return None
        ids = list(users_named(named).values_list("pk", flat=True))
        if not ids:
            raise CommandError(f"There is no user {named}.")
        return ids

    def _teller(self, options: dict[str, Any]) -> Any:
        def tell(finding: Finding) -> None:
            if options["verbosity"] > 1 or (options["dry_run"] and options["verbosity"]):
                self.stdout.write(str(finding))

        return tell

    def _report(self, outcome: Outcome, *, is_dry_run: bool) -> None:
        counts = ", ".join(f"{outcome.counts[repair]} {repair}" for repair in Repair)
        end = "; nothing was done" if is_dry_run else ""
        self.stdout.write(f"{outcome.users} users, {counts}{end}")
        if outcome.failed:
            raise CommandError(f"Users that failed: {outcome.failed}. The log says why.")
