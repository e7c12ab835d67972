from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.holdings.erasure import erase_user, left_to_erase
from accounts.models import User
from gateway_core.errors import GatewayError
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import work_on

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Erases one user, and says what was erased where."""

    help = "Erase all that is held of a user, here and in the services behind the gateway."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("user", help="the user's id, or the e-mail address if one user has it")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")

    def handle(self, *, user: str, dry_run: bool, **_options: Any) -> None:
        """Erase.

        Raises:
            CommandError: nobody or more than one is meant, or a store could not be erased: then
                the gateway goes on with it by itself, and so does this command.
        """
        user_id = _id_of(user)
        if dry_run:
            self.stdout.write(f"{user_id} would be erased in: {', '.join(left_to_erase())}")
            return
        try:
            job = erase_user(user_id=user_id, by=None)
        except GatewayError as error:
            raise CommandError(error.detail) from error
        work_on(job.pk)
        job.refresh_from_db()
        for store, receipt in job.result.get("receipts", {}).items():
            erased = ", ".join(f"{count} {what}" for what, count in receipt["erased"].items())
            self.stdout.write(f"{store}: {erased or 'nothing there'}")
        if job.state != Job.State.DONE:
            raise CommandError(f"Stopped at {job.result.get('store', 'the start')}: {job.error}")
        self.stdout.write(f"{job.done} of {job.total} stores erased")


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        found = list(User.objects.filter(email=text).values_list("pk", flat=True)[:2])
    if len(found) != 1:
        raise CommandError(
            f"{'Nobody has' if not found else 'Several users have'} that e-mail address. "
            "Name the user's id."
        )
    return found[0]
