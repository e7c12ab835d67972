from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from gateway_core import crypto
from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.encrypted import keys_in_use, reencrypt
from gateway_core.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from gateway_core.encrypted import Reencryption


class Command(BaseCommand):
    """Makes older encryption keys unnecessary, while the gateway runs."""

    help = (
        "Encrypt every stored secret under the newest key of ENCRYPTION_KEYS. Every process has to "
        "know that key before: put it into the list everywhere, then run this, then take the older "
        "ones out."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--batch-size", type=int, default=500, help="rows read at a time")

    def handle(self, **options: Any) -> None:
        """Rotate.

        Raises:
            CommandError: a bad option, another process is at it, or some secrets can't be opened.
        """
        if options["batch_size"] < 1:
            raise CommandError("--batch-size is at least 1.")
        try:
            with only_one("rotate_encryption"), Progress() as progress:
                done = reencrypt(
                    batch_size=options["batch_size"],
                    is_dry_run=options["dry_run"],
                    show=lambda count, total: progress.show("reencrypting", count, total),
                )
        except AlreadyRunning as exc:
            raise CommandError("Another process is at it.") from exc
        self._report(done, is_dry_run=options["dry_run"])

    def _report(self, done: Reencryption, *, is_dry_run: bool) -> None:
        newest = crypto.known_key_ids()[0]
        for name, count in sorted(keys_in_use().items()):
            marks = [mark for mark in (name == newest and "newest",) if mark]
            marks += ["not in ENCRYPTION_KEYS"] if name not in crypto.known_key_ids() else []
            self.stdout.write(f"{name}  {count}  {', '.join(marks)}".rstrip())
        verb = "would be reencrypted" if is_dry_run else "reencrypted"
        unreadable = done.unreadable.total()
        self.stdout.write(
            f"{done.reencrypted.total()} {verb}, {unreadable} unreadable, "
            f"{done.passed_over} written by others meanwhile"
        )
        if unreadable:
            raise CommandError(f"Secrets that can't be opened stay as they are: {unreadable}.")
