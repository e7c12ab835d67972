"""The database connection of a thread, put back into the pool while others need it more."""

from __future__ import annotations

from django.db import connection

from gateway_core import context
from gateway_core.advisory import is_holding


def give_back_connection() -> None:
    """Put this thread's connection back before something that may take long, like an upstream.

    The next query takes one again. Only while a request is answered, of which there may be many
    more at once than connections: a command or a job has one of its own, and perhaps a cursor on
    it. A transaction and a lock keep theirs.
    """
    if context.current.get() is None:  # nor is there a database where Django is not set up
        return
    if not (connection.in_atomic_block or is_holding()):
        connection.close()
