from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError

from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.progress import Progress
from letta_proxy.mode import has_provider
from letta_proxy.sync import sync_providers

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from letta_proxy.sync import Synced


class Command(BaseCommand):
    """Tells Letta where agents call their models; can be run at any time, and again."""

    help = (
        "Give every user's model provider, agents and folders in Letta the address that they have "
        "now: after a change of GATEWAY_INTERNAL_URL, AGENT_SECRET_MASTER_KEY or an agent secret. "
        "Without it each user gets it with their next request."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only count what is to be done")
        parser.add_argument(
            "--all",
            action="store_true",
            help="those too that are on record as done, as after a restore of Letta's database",
        )

    def handle(self, **options: Any) -> None:
        """Look, and do.

        Raises:
            CommandError: there is no address to give, or accounts could not be done.
        """
        if not has_provider():
            raise CommandError("Set GATEWAY_INTERNAL_URL. With Letta Cloud there is no provider.")
        try:
            with only_one("sync_providers"), Progress() as progress:
                synced = async_to_sync(sync_providers)(
                    is_dry=options["dry_run"], again=options["all"], show=progress.show
                )
        except AlreadyRunning as exc:
            raise CommandError("Another process is at it.") from exc
        self._report(synced, is_dry=options["dry_run"])

    def _report(self, synced: Synced, *, is_dry: bool) -> None:
        outdated = len(synced.outdated)
        if is_dry:
            self.stdout.write(
                f"to do: {outdated} of {synced.accounts} accounts, {synced.agents} agents, "
                f"{synced.folders} folders; {synced.archives_left} archives keep their address"
            )
        else:
            self.stdout.write(f"done: {outdated - synced.failed} of {synced.accounts} accounts")
        if synced.failed:
            raise CommandError(f"{synced.failed} accounts failed. Repeat the command.")
