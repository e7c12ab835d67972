"""Brings over from Supabase Auth what has changed there since: a page at a time, safe to repeat.

Names, addresses and anonymity are taken over. A ban puts the user on the deny-list for as long as
it lasts, beside whatever staff have decided here, and a ban that was lifted takes no more than that
off it. Users who were deleted there go on the deny-list as well; nothing of theirs is deleted here.

Whoever was not in the listing is asked for by id before they count as gone: the pages of a list
that changes meanwhile leave some out. A listing that breaks off takes nobody for gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.sessions.models import Denial, DenialReason
from accounts.sessions.services import announce
from accounts.supabase import client
from accounts.supabase.missing import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime
    from uuid import UUID

    from accounts.supabase.missing import Missing
    from accounts.supabase.users import SupabaseUser

_BROUGHT: Final = ("display_name", "email", "is_anonymous_user", "claims_issued_at")
_FROM_SUPABASE: Final = (DenialReason.BANNED, DenialReason.GONE)
_MOST_GONE: Final = 100

_Key = tuple["UUID", str]


class TooManyGone(Exception):
    """More users are missing at Supabase than can be by chance: is it the right project?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to go about it.

    Attributes:
        is_dry_run: look and count, and change nothing.
        makes_users: also make users who have not been here yet.
        only: these users alone, asked for by id; None for all.
        most_gone: with more missing than this, nobody counts as gone; None for half of those who
            are known, at the most 100.
        tell: hears of each change of somebody's access, in words.
        show: hears how many users were looked at so far.
    """

    is_dry_run: bool = False
    makes_users: bool = False
    only: frozenset[UUID] | None = None
    most_gone: int | None = None
    page_size: int = client.PAGE_SIZE
    tell: Callable[[str], None] = lambda _line: None
    show: Callable[[int], None] = lambda _count: None


@dataclass(slots=True)
class Tally:
    """How many users of which kind there were."""

    seen: int = 0
    changed: int = 0
    made: int = 0
    unknown: int = 0
    denied: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_FROM_SUPABASE, 0))
    allowed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_FROM_SUPABASE, 0))


def sync_users(wish: Wish) -> Tally:
    """Bring everything over; what was brought over before an error stays.

    Raises:
        UpstreamError: Supabase does not answer, or not as it should.
        TooManyGone: everything is brought over but who is gone.
    """
    tally = Tally()
    if wish.only is not None:
        tally.seen = len(wish.only)
        _look_for(sorted(wish.only), wish, tally)
        return tally
    with missing() as not_seen:
        for asked_at, page in _pages(wish):
            not_seen.seen(user.id for user in page)
            _bring_over(page, asked_at, wish, tally)
            tally.seen += len(page)
            wish.show(tally.seen)
        _check(not_seen, wish)
        _look_for(not_seen.left(), wish, tally)
    return tally


def _pages(wish: Wish) -> Iterator[tuple[datetime, list[SupabaseUser]]]:
    pages = client.list_users(page_size=wish.page_size)
    while True:
        asked_at = timezone.now()
        page = next(pages, None)
        if page is None:
            return
        yield asked_at, page


def _check(not_seen: Missing, wish: Wish) -> None:
    most = wish.most_gone
    if most is None:
        most = min(_MOST_GONE, math.ceil(not_seen.known / 2))
    count = not_seen.count()
    if count > most:
        raise TooManyGone(
            f"{count} of {not_seen.known} users are missing at Supabase, and {most} is the most "
            "that is taken for true."
        )


def _look_for(user_ids: list[UUID], wish: Wish, tally: Tally) -> None:
    asked_at = timezone.now()
    found = {user_id: client.find_user(user_id) for user_id in user_ids}
    there = [user for user in found.values() if user is not None]
    if there:
        _bring_over(there, asked_at, wish, tally)
    nowhere = [user_id for user_id, user in found.items() if user is None]
    from_supabase = User.objects.filter(pk__in=nowhere, claims_issued_at__isnull=False)
    gone = list(from_supabase.order_by("pk").values_list("pk", flat=True))
    if gone:
        with transaction.atomic():
            _decide(gone, {(user_id, DenialReason.GONE): None for user_id in gone}, wish, tally)


def _bring_over(
    page: Collection[SupabaseUser], asked_at: datetime, wish: Wish, tally: Tally
) -> None:
    """Bring over one page, with as many queries for a long one as for a short one."""
    with transaction.atomic():
        users = User.objects.filter(pk__in=[user.id for user in page]).order_by("pk")
        if not wish.is_dry_run:
            users = users.select_for_update(no_key=True)
        rows = {row.pk: row for row in users}
        listed = [user for user in page if user.deleted_at is None]
        known = [(rows[user.id], user) for user in listed if user.id in rows]
        changed = [row for row, user in known if _brought_over(row, user, asked_at)]
        tally.changed += len(changed)
        if changed and not wish.is_dry_run:
            # The rows are there and locked. bulk_update takes 13 to 30 times as long (measured).
            User.objects.bulk_create(
                changed, update_conflicts=True, unique_fields=("id",), update_fields=_BROUGHT
            )
        _make([user for user in listed if user.id not in rows], wish, tally)
        _decide([user.id for user in page], _wanted(page, rows.keys()), wish, tally)


def _brought_over(row: User, user: SupabaseUser, asked_at: datetime) -> bool:
    """Take over into a row what is different, and say whether anything was."""
    values: dict[str, object] = {"display_name": user.name}
    # Or a token has told something newer since Supabase was asked.
    if row.claims_issued_at is None or row.claims_issued_at <= asked_at:
        values |= {"email": user.email, "is_anonymous_user": user.is_anonymous}
    values = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in values.items():
        setattr(row, name, value)
    if values.keys() - {"display_name"}:
        row.claims_issued_at = max(user.updated_at, row.claims_issued_at or user.updated_at)
    return bool(values)


def _make(strangers: list[SupabaseUser], wish: Wish, tally: Tally) -> None:
    if not wish.makes_users:
        tally.unknown += len(strangers)
        return
    strangers = _not_erased(strangers)
    tally.made += len(strangers)
    if strangers and not wish.is_dry_run:
        made = (
            User(
                pk=user.id,
                password=make_password(None),
                email=user.email,
                display_name=user.name,
                is_anonymous_user=user.is_anonymous,
                claims_issued_at=user.updated_at,
            )
            for user in strangers
        )
        User.objects.bulk_create(made, ignore_conflicts=True)


def _not_erased(strangers: list[SupabaseUser]) -> list[SupabaseUser]:
    """Leave out whom the gateway was to forget, and who has an account at Supabase still."""
    denials = Denial.objects.of_users().filter(reason=DenialReason.ERASED)
    erased = denials.filter(user_id__in=[user.id for user in strangers])
    left_out = set(erased.values_list("user_id", flat=True)) if strangers else set()
    return [user for user in strangers if user.id not in left_out]


def _wanted(page: Collection[SupabaseUser], known: Collection[UUID]) -> dict[_Key, datetime | None]:
    """Return whom to deny for which reason until when.

    Also users who have never been here: they may hold tokens that are still good.
    """
    now = timezone.now()
    wanted: dict[_Key, datetime | None] = {
        (user.id, DenialReason.BANNED): user.banned_until for user in page if user.is_banned(now)
    }
    for user in page:
        if user.deleted_at is not None and user.id in known:
            wanted[user.id, DenialReason.GONE] = None
    return wanted


def _decide(
    user_ids: Collection[UUID], wanted: dict[_Key, datetime | None], wish: Wish, tally: Tally
) -> None:
    """Have the deny-list say of these users what Supabase says, beside what was decided here."""
    denials = Denial.objects.of_users().filter(user_id__in=user_ids, reason__in=_FROM_SUPABASE)
    stored = {(one.user_id, one.reason): one for one in denials}
    new, moved = [], []
    for (user_id, reason), until in wanted.items():
        denial = stored.pop((user_id, reason), None)
        if denial is None:
            new.append(Denial(user_id=user_id, reason=reason, until=until))
        elif denial.until != until:
            denial.until = until
            moved.append(denial)
    over = [denial for denial in stored.values() if denial.is_in_force()]
    for denial in (*new, *moved):
        _changed(denial, "deny", tally.denied, wish)
    for denial in over:
        _changed(denial, "allow", tally.allowed, wish)
    if not wish.is_dry_run:
        Denial.objects.bulk_create(new, ignore_conflicts=True)
        Denial.objects.bulk_update(moved, ("until",))
        if over:
            Denial.objects.filter(pk__in=[denial.pk for denial in over]).delete()


def _changed(denial: Denial, verb: str, counts: dict[str, int], wish: Wish) -> None:
    counts[denial.reason] += 1
    until = f" until {denial.until:%Y-%m-%d %H:%M} UTC" if denial.until else ""
    wish.tell(f"{verb} {denial}: {DenialReason(denial.reason).label}{until}")
    if wish.is_dry_run:
        return
    announce(denial, verb, by=None)
