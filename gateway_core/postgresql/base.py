"""The backend; Django looks for it under this name."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from gateway_core.postgresql.connection import BoundedConnection, taking
from gateway_core.postgresql.outage import OUTAGE


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes bounded connections out of the pool, and none while PostgreSQL is known to be away."""

    @property
    def pool(self) -> Any:
        """The pool of this database, None without one."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if options:
            options["connection_class"] = BoundedConnection
        return super().pool

    def get_new_connection(self, conn_params: Any) -> Any:
        """Return a connection.

        Raises:
            psycopg.OperationalError: there is none in ``DATABASE_POOL_TIMEOUT`` seconds.
        """
        if OUTAGE.is_known():
            raise self.Database.OperationalError("PostgreSQL is away.")
        with taking():
            return super().get_new_connection(conn_params)
