from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from gateway_core import context
from gateway_core.postgresql.connection import BoundedConnection
from gateway_core.postgresql.outage import OUTAGE


@pytest.fixture
def in_a_request() -> Iterator[None]:
    context.begin({"headers": [], "path": "/"})
    yield
    context.current.set(None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("in_a_request")
def test_gives_up_a_statement_that_a_request_waits_for(settings: Any) -> None:
    settings.DATABASE_TIMEOUT = 0.2
    with connection.cursor() as cursor, pytest.raises(OperationalError):
        cursor.execute("SELECT pg_sleep(30)")
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db(transaction=True)
def test_waits_for_a_statement_of_a_command(settings: Any) -> None:
    settings.DATABASE_TIMEOUT = 0.05
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.2)")


def test_notes_that_nobody_listens() -> None:
    try:
        with pytest.raises(psycopg.OperationalError):
            BoundedConnection.connect("postgresql://127.0.0.1:1/nothing", connect_timeout=2)
        assert OUTAGE.is_known()
    finally:
        OUTAGE.end()
