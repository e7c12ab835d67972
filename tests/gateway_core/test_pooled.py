from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from gateway_core import context
from gateway_core.pooled import give_back_connection

pytestmark = pytest.mark.django_db(transaction=True)
SCOPE: dict[str, Any] = {"headers": [], "path": "/", "client": None}


@pytest.fixture
def _request() -> Iterator[None]:
    before = context.current.get()
    context.begin(SCOPE)
    yield
    context.current.set(before)


@pytest.mark.usefixtures("_request")
def test_gives_the_connection_back_while_a_request_waits() -> None:
    connection.ensure_connection()
    give_back_connection()
    assert connection.connection is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.usefixtures("_request")
def test_a_transaction_keeps_its_connection() -> None:
    with transaction.atomic():
        give_back_connection()
        assert connection.connection is not None


def test_a_command_keeps_its_connection() -> None:
    connection.ensure_connection()
    give_back_connection()
    assert connection.connection is not None
