from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.errors import UpstreamError
from gateway_core.moments import moment
from gateway_core.progress import Progress
from llm_proxy.usage.client import open_books
from llm_proxy.usage.drift import drifts
from llm_proxy.usage.reconcile import Comparison

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from llm_proxy.usage.client import Books
    from llm_proxy.usage.drift import Drift
    from llm_proxy.usage.reconcile import Tally

_DAYS: Final = timedelta(days=2)
# Until then events may be on their way to the database.
_FRESH: Final = timedelta(minutes=5)
_IDLE_SECONDS: Final = 120
_MINUTE: Final = timedelta(minutes=1)


class Command(BaseCommand):
    """Makes usage agree with LiteLLM's books. Meant to be run once a day."""

    help = (
        "Compare usage records with LiteLLM's spend log, call by call: fill in costs that were "
        "not known, correct others, and add calls that only LiteLLM knows. Then compare each "
        "user's sum with what LiteLLM counts on their budget, and fail if drift is left. Not "
        "meant for days that LiteLLM's log no longer has."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        when = "date or time, of UTC unless it says otherwise"
        parser.add_argument("--since", type=moment, help=f"{when}; two days ago")
        parser.add_argument("--until", type=moment, help=f"{when}; five minutes ago")
        parser.add_argument("--user", type=UUID, metavar="ID", help="one user's calls only")
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument(
            "--idle",
            type=int,
            metavar="SECONDS",
            default=_IDLE_SECONDS,
            help="users who have not called for so long are compared with LiteLLM's count, which "
            f"lags behind; {_IDLE_SECONDS}",
        )

    def handle(self, **options: Any) -> None:
        """Reconcile.

        Raises:
            CommandError: a bad option, another process is at it, LiteLLM can't be asked, or drift
                is left.
        """
        now = timezone.now()
        until = options["until"] or now - _FRESH
        since = options["since"] or until - _DAYS
        if since >= until:
            raise CommandError("--since must be before --until.")
        if options["idle"] < 0:
            raise CommandError("--idle is not negative.")
        try:
            with only_one("reconcile_usage"), open_books() as books:
                left = self._reconcile(books, since, until, now, options)
        except AlreadyRunning as exc:
            raise CommandError("Another process is reconciling.") from exc
        except UpstreamError as exc:
            raise CommandError(f"LiteLLM at {settings.LITELLM_BASE_URL}: {exc.detail}") from exc
        if left:
            raise CommandError(f"Drift is left for {left} users.")

    def _reconcile(
        self, books: Books, since: datetime, until: datetime, now: datetime, options: dict[str, Any]
    ) -> int:
        minutes = (until - since) // _MINUTE
        with Progress() as progress:
            comparison = Comparison(
                books,
                since=since,
                until=until,
                now=now,
                user_id=options["user"],
                is_dry_run=options["dry_run"],
                tell=lambda at: progress.show("minutes", (at - since) // _MINUTE, minutes),
            )
            tally = comparison.run()
        idle = timedelta(seconds=options["idle"])
        left = [drift for drift in drifts(books, tally, now=now, idle=idle) if drift.is_left]
        for drift in left:
            self.stdout.write(self.style.WARNING(_line(drift)))
        in_all = sum((drift.amount for drift in left), Decimal(0))
        self.stdout.write(f"{_counts(tally)}; {_dollars(in_all)} drift of {len(tally.users)} users")
        return len(left)


def _line(drift: Drift) -> str:
    counted = "log only" if drift.counted is None else f"LiteLLM counts {_dollars(drift.counted)}"
    return f"{drift.user_id}: {_dollars(drift.ours)}, {counted}, drift {_dollars(drift.amount)}"


def _counts(tally: Tally) -> str:
    return (
        f"{tally.agreed} agreed, {tally.filled} filled in, {tally.corrected} corrected, "
        f"{tally.added} added, {tally.unbilled} never billed, {tally.waiting} still open"
    )


def _dollars(amount: Decimal) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):.6f}"
