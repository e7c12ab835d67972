"""One at a time among all processes: advisory locks of PostgreSQL."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

_is_holding: ContextVar[bool] = ContextVar("is_holding", default=False)


class AlreadyRunning(Exception):
    """Another process holds the lock."""


@contextmanager
def only_one(name: str) -> Iterator[None]:
    """Hold the lock of that name while the block runs.

    It is the database connection's: a process that dies, or loses the connection, lets go of it.

    Raises:
        AlreadyRunning: somebody else holds it. Nothing waits.
    """
    digest = hashlib.sha256(f"gateway:{name}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise AlreadyRunning(name)
    token = _is_holding.set(True)
    try:
        yield
    finally:
        _is_holding.reset(token)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def is_holding() -> bool:
    """Say whether a lock is held here, so that its connection has to be kept."""
    return _is_holding.get()
