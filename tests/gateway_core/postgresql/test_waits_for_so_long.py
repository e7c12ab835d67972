from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog
from django.db import OperationalError, connection

from gateway_core import context
from gateway_core.postgresql import outage as outage_module
from gateway_core.postgresql.connection import BoundedConnection
from gateway_core.postgresql.outage import OUTAGE, Outage


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


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_has_one_caller_look_each_second_during_an_outage() -> None:
    clock = Clock()
    outage = Outage(clock)
    assert not outage.is_known()
    outage.begin(OSError("refused"))
    assert [outage.is_known() for _ in range(3)] == [True, True, True]
    clock.now += 1.1
    assert [outage.is_known() for _ in range(3)] == [False, True, True]
    outage.end()
    assert [outage.is_known() for _ in range(3)] == [False, False, False]


def test_says_once_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[lines])
    monkeypatch.setattr(outage_module, "_log", logger)  # one that was used before hears no capture
    outage = Outage(Clock())
    for _ in range(3):
        outage.begin(OSError("refused"))
    outage.end()
    outage.end()
    assert [line["event"] for line in lines.entries] == ["database is away", "database is back"]
