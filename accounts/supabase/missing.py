"""Whom a listing of Supabase's users has not shown yet, kept in the database however many it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Exists, OuterRef

from accounts.models import User
from accounts.sessions.models import Denial, DenialReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID


class Missing:
    """Users who came from Supabase, less those who were seen. Of this database connection alone."""

    def __init__(self) -> None:
        self.known = 0

    def seen(self, user_ids: Iterable[UUID]) -> None:
        """Strike users out."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM missing_user WHERE id = ANY(%s)", [list(user_ids)])

    def count(self) -> int:
        """Return how many are left."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM missing_user")
            return int(cursor.fetchone()[0])

    def left(self) -> list[UUID]:
        """Return who is left."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM missing_user ORDER BY id")
            return [row[0] for row in cursor.fetchall()]


@contextmanager
def missing() -> Iterator[Missing]:
    """Begin with everybody from Supabase who is known now and not known to be gone."""
    gone = Denial.objects.of_users().filter(reason=DenialReason.GONE, user_id=OuterRef("pk"))
    everybody = User.objects.filter(~Exists(gone), claims_issued_at__isnull=False)
    sql, parameters = everybody.order_by().values("id").query.sql_with_params()
    found = Missing()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE missing_user AS {sql}", parameters)
        try:
            cursor.execute("CREATE UNIQUE INDEX ON missing_user (id)")
            found.known = found.count()
            yield found
        finally:
            cursor.execute("DROP TABLE missing_user")
