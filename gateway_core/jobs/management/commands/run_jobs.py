from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from gateway_core.jobs.services import work_once
from gateway_core.jobs.worker import Worker

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Does jobs in a process of its own. Any number of them may run."""

    help = (
        "Do what was asked for in the background: exports, erasures, migrations of agents. Works "
        "until it is stopped, or with --until-done until nothing is left. Processes that serve do "
        "the same by themselves, unless JOBS_SECONDS is 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--until-done", action="store_true", help="end when there is nothing left to do"
        )
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks")

    def handle(self, **options: Any) -> None:
        """Work until SIGTERM or Ctrl-C; the job under way is done by somebody else then.

        Raises:
            CommandError: a bad option.
        """
        if options["interval"] <= 0:
            raise CommandError("--interval is more than 0.")
        if options["until_done"]:
            count = 0
            while work_once():
                count += 1
            self.stdout.write(f"{count} jobs done")
            return
        worker = Worker(interval_seconds=options["interval"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        worker.run()
