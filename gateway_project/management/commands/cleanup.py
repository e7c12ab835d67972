from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError

from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.errors import GatewayError
from gateway_core.progress import Progress
from gateway_project.cleaning import CHORES

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from gateway_project.cleaning import Chore

_BATCH: Final = 1000


class Command(BaseCommand):
    """Throws away what has had its time. Meant to be run once a day, by one process at a time."""

    help = (
        "Revoke expired API keys, delete rows that are past their retention, and, with --prune, "
        "what upstreams have for users who are not in this database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only count, prune included")
        parser.add_argument(
            "--batch-size", type=int, default=_BATCH, help="rows in one transaction at the most"
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="delete what the gateway made in Letta and LiteLLM for users it does not have; "
            "never where several gateways share an upstream, or after an older database was "
            "brought back",
        )

    def handle(self, **options: Any) -> None:
        """Clean up.

        Raises:
            CommandError: a bad option, another process is at it, or something could not be done.
        """
        if options["batch_size"] < 1:
            raise CommandError("--batch-size is at least 1.")
        try:
            with only_one("cleanup"):
                self._go_through(options)
        except AlreadyRunning as exc:
            raise CommandError("Another process is cleaning up.") from exc

    def _go_through(self, options: dict[str, Any]) -> None:
        done, failed = [], []
        for chore in CHORES:
            if chore.prunes and not (options["prune"] or options["dry_run"]):
                continue
            try:
                count = _would_do(chore) if options["dry_run"] else self._run(chore, options)
            except GatewayError as error:
                self.stderr.write(self.style.ERROR(f"{chore.name}: {error.detail}"))
                failed.append(chore.name)
            else:
                done.append(f"{count} {chore.name}")
        self.stdout.write(f"{'to do' if options['dry_run'] else 'done'}: {', '.join(done)}")
        if failed:
            raise CommandError(f"Not cleaned up: {', '.join(failed)}.")

    def _run(self, chore: Chore, options: dict[str, Any]) -> int:
        """Do a chore; on a terminal, with a bar."""
        total = chore.count() if sys.stderr.isatty() else 0
        count = 0
        with Progress() as progress:
            for number in chore.run(options["batch_size"]):
                count += number
                progress.show(chore.name, count, max(count, total))
        return count


def _would_do(chore: Chore) -> str:
    """Return how many things there are now, and which where there are few."""
    which = ", ".join(map(str, chore.which())) if chore.which else ""
    return f"{chore.count()} ({which})" if which else str(chore.count())
