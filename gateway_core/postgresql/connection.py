"""Connections that don't wait for ever for an answer."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg
from django.conf import settings
from psycopg.pq import ConnStatus, TransactionStatus

from gateway_core import context
from gateway_core.postgresql.outage import OUTAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

# What an idle connection has to prove that it lives.
_CHECK_SECONDS: Final = 2.0
_CANCEL_SECONDS: Final = 1.0

_is_taking: ContextVar[bool] = ContextVar("is_taking", default=False)


class BoundedConnection(psycopg.Connection[Any]):
    """Gives each answer ``DATABASE_TIMEOUT`` seconds while a request waits for it.

    Commands and jobs may have statements that take long: of a peer that is gone, the kernel tells
    them (see ``keepalives`` in the settings).
    """

    @classmethod
    def connect(cls, *args: Any, **parts: Any) -> Self:
        """Connect, and note whether that goes."""
        try:
            connection = super().connect(*args, **parts)
        except psycopg.OperationalError as exc:
            OUTAGE.begin(exc)
            raise
        OUTAGE.end()
        return connection

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for what PostgreSQL does.

        Raises:
            psycopg.OperationalError: it does not answer in time, or with something else.
        """
        try:
            answer = super().wait(gen, interval, timeout or _patience())
        except psycopg.DatabaseError as exc:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self._abandon()
            # What is no answer of PostgreSQL's, libpq calls a DatabaseError.
            if self.pgconn.status == ConnStatus.BAD and type(exc) is psycopg.DatabaseError:
                raise psycopg.OperationalError(str(exc)) from exc
            raise
        OUTAGE.end()
        return answer

    def _abandon(self) -> None:
        """Have PostgreSQL end what it is at, if it hears; the answer is nobody's any more."""
        if not _is_taking.get():
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=_CANCEL_SECONDS)
        self.pgconn.finish()


@contextmanager
def taking() -> Iterator[None]:
    """Take a connection out of the pool in the block, which looks whether it lives."""
    token = _is_taking.set(True)
    try:
        yield
    finally:
        _is_taking.reset(token)


def _patience() -> float | None:
    if _is_taking.get():
        return _CHECK_SECONDS
    return None if context.current.get() is None else float(settings.DATABASE_TIMEOUT)
