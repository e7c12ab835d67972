from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from accounts.holdings.erasure import erase_user, left_to_erase, require_erasable
from accounts.people import ids_named
from gateway_core.errors import GatewayError
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import work_on
from gateway_core.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping
    from uuid import UUID


class Command(BaseCommand):
    """Erases one user, and says what was erased where."""

    help = (
        "Erase all that is held of a user, here and in the services behind the gateway. Whom the "
        "gateway has never seen is looked for at Supabase, too. Safe to break off and repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("user", help="the user's id, or the e-mail address if one user has it")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")

    def handle(self, *, user: str, dry_run: bool, **_options: Any) -> None:
        """Erase.

        Raises:
            CommandError: nobody, more than one or staff are meant, or a store could not be erased:
                then the gateway goes on with it by itself, and so does this command.
        """
        try:
            user_id = _one_of(ids_named(user))
            if dry_run:
                self._tell(user_id)
            else:
                self._erase(user_id)
        except GatewayError as error:
            raise CommandError(error.detail) from error

    def _tell(self, user_id: UUID) -> None:
        require_erasable(user_id)
        for store, counts in left_to_erase(user_id):
            self.stdout.write(f"{store}: {_said(counts)}")
        self.stdout.write(f"{user_id} would be erased in these stores; nothing was changed")

    def _erase(self, user_id: UUID) -> None:
        job = erase_user(user_id=user_id, by=None)
        with Progress() as progress:
            work_on(job.pk, show=partial(progress.show, "stores"))
        job.refresh_from_db()
        for store, receipt in job.result.get("receipts", {}).items():
            self.stdout.write(f"{store}: {_said(receipt['erased'])}")
        if job.state != Job.State.DONE:
            raise CommandError(f"Stopped at {job.result.get('store', 'the start')}: {job.error}")
        self.stdout.write(f"{job.done} of {job.total} stores erased")


def _one_of(found: set[UUID]) -> UUID:
    if len(found) != 1:
        raise CommandError(
            f"{'Nobody has' if not found else 'Several users have'} that e-mail address. "
            "Name the user's id."
        )
    return found.pop()


def _said(counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return said or "nothing there"
