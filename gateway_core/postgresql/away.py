"""What Django raises when PostgreSQL can't be asked now, and what callers are told then."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from django.db import InterfaceError, OperationalError

from gateway_core.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

# No connection, none to be had from the pool, an answer that did not come in time, a statement
# that was canceled.
AWAY: Final = (OperationalError, InterfaceError)


@contextmanager
def required() -> Iterator[None]:
    """Run a block that is nothing without the database.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    try:
        yield
    except AWAY as exc:
        raise DatabaseUnavailable from exc
