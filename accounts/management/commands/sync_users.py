"""Bring over what has changed at Supabase; run it by a timer, as often as bans should be heeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.people import ids_named
from accounts.sessions.models import DenialReason
from accounts.supabase import client
from accounts.supabase.keys import KeyKind, kind_of
from accounts.supabase.sync import TooManyGone, Wish, sync_users
from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.errors import UpstreamCredentialRejected, UpstreamError
from gateway_core.progress import Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from accounts.supabase.sync import Tally

_LARGEST_PAGE: Final = 1000


class Command(BaseCommand):
    """Takes over names, addresses, bans and deletions from Supabase Auth."""

    help = (
        "Go through all users of Supabase Auth: take over names and addresses, put whom it has "
        "banned or deleted on the deny-list, and take off it whose ban was lifted. Staff's own "
        "suspensions stay, and nothing of anybody is deleted here. Safe to break off and repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "user", nargs="?", help="only this one: the user's id, or the e-mail address"
        )
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument(
            "--create", action="store_true", help="also make users who have not been here yet"
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            default=client.PAGE_SIZE,
            help="users of one call; %(default)s",
        )
        parser.add_argument(
            "--most-gone",
            type=int,
            metavar="N",
            help="with more missing nobody counts as deleted; half of those known, at most 100",
        )

    def handle(self, **options: Any) -> None:
        """Bring it over.

        Raises:
            CommandError: bad settings, another sync under way, no proper answer, or too many gone.
        """
        _check(options)
        try:
            with only_one("sync_users"), Progress() as progress:
                tally = self._sync(options, progress)
        except AlreadyRunning as exc:
            raise CommandError("Another sync is under way.") from exc
        except UpstreamCredentialRejected as exc:
            raise CommandError("Supabase refuses SUPABASE_SERVICE_KEY.") from exc
        except UpstreamError as exc:
            raise CommandError(
                f"Supabase at {settings.SUPABASE_URL}: {exc.detail} Nobody was taken for deleted."
            ) from exc
        except TooManyGone as exc:
            raise CommandError(f"{exc} Nobody was taken for deleted. See --most-gone.") from exc
        self.stdout.write(_last_line(tally, is_dry_run=options["dry_run"]))

    def _sync(self, options: dict[str, Any], progress: Progress) -> Tally:
        only = ids_named(options["user"]) if options["user"] else None
        if only == set():
            raise CommandError("Nobody has that e-mail address, neither here nor at Supabase.")
        total = client.count_users() if only is None else len(only)
        return sync_users(
            Wish(
                is_dry_run=options["dry_run"],
                makes_users=options["create"],
                only=None if only is None else frozenset(only),
                most_gone=options["most_gone"],
                page_size=options["batch_size"],
                tell=self.stdout.write if options["verbosity"] else lambda _line: None,
                show=lambda seen: progress.show("users", seen, max(seen, total or 0)),
            )
        )


def _check(options: dict[str, Any]) -> None:
    if not settings.SUPABASE_URL:
        raise CommandError("SUPABASE_URL is not set.")
    if not settings.SUPABASE_SERVICE_KEY:
        raise CommandError("SUPABASE_SERVICE_KEY is not set: only a secret key lists users.")
    if kind_of(settings.SUPABASE_SERVICE_KEY) is KeyKind.PUBLISHABLE:
        raise CommandError(
            "SUPABASE_SERVICE_KEY is a publishable key: only a secret key lists users."
        )
    if not 1 <= options["batch_size"] <= _LARGEST_PAGE:
        raise CommandError(f"--batch-size is from 1 to {_LARGEST_PAGE}.")
    if options["most_gone"] is not None and options["most_gone"] < 0:
        raise CommandError("--most-gone is not negative.")


def _last_line(tally: Tally, *, is_dry_run: bool) -> str:
    counts = {
        "changed": tally.changed,
        "made": tally.made,
        "banned": tally.denied[DenialReason.BANNED],
        "no longer banned": tally.allowed[DenialReason.BANNED],
        "deleted": tally.denied[DenialReason.GONE],
        "back": tally.allowed[DenialReason.GONE],
        "not here yet": tally.unknown,
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items())
    return f"{tally.seen} users: {said}{'; nothing was changed' if is_dry_run else ''}"
