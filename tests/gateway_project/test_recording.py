from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from accounts.models import User
from gateway_core import context
from gateway_core.asgi import Receive, Scope, Send
from gateway_core.context import RequestRecord
from gateway_project.entrance import bounded
from tests.gateway_project.asgi import ask


@pytest.fixture
def record() -> Iterator[RequestRecord]:
    yield context.begin({"headers": [], "path": "/", "method": "GET"})
    context.current.set(None)


async def _nothing(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("path", "operation"), [("/api/v1/system/health/", "health"), ("/admin/", "admin:index")]
)
async def test_names_the_operation_after_the_route(
    path: str, operation: str, record: RequestRecord
) -> None:
    assert (await ask(bounded(_nothing), path)).status == 204

    assert record.operation == operation


async def test_names_no_operation_where_there_is_no_route(record: RequestRecord) -> None:
    await ask(bounded(_nothing), "/api/v1/system/nothing")

    assert record.operation == "-"


@pytest.mark.django_db
def test_names_who_is_signed_in_to_the_admin(client: Client, record: RequestRecord) -> None:
    staff = User.objects.create_superuser("root", "right-password")
    client.force_login(staff)

    client.get("/admin/")

    assert record.user_id == str(staff.pk)


def test_asks_for_no_session_where_nobody_needs_it(client: Client, record: RequestRecord) -> None:
    # No django_db: a query would raise.
    client.cookies["sessionid"] = "x" * 32
    client.get("/api/v1/system/health")

    assert record.user_id == ""
