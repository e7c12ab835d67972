from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from accounts.models import User
from gateway_core import context
from gateway_core.context import RequestRecord


@pytest.fixture
def record() -> Iterator[RequestRecord]:
    yield context.begin({"headers": [], "path": "/", "method": "GET"})
    context.current.set(None)


def test_names_the_operation_after_the_route(client: Client, record: RequestRecord) -> None:
    client.get("/api/v1/system/health/")

    assert record.operation == "health"


def test_names_no_operation_where_there_is_no_route(client: Client, record: RequestRecord) -> None:
    client.get("/api/v1/system/nothing")

    assert record.operation == "-"


@pytest.mark.django_db
def test_names_who_is_signed_in_to_the_admin(client: Client, record: RequestRecord) -> None:
    staff = User.objects.create_superuser("root", "right-password")
    client.force_login(staff)

    client.get("/admin/")

    assert record.operation == "admin:index"
    assert record.user_id == str(staff.pk)


def test_asks_for_no_session_where_nobody_needs_it(client: Client, record: RequestRecord) -> None:
    # No django_db: a query would raise.
    client.cookies["sessionid"] = "x" * 32
    client.get("/api/v1/system/health")

    assert record.user_id == ""
