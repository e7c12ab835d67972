from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from accounts.models import User
from gateway_core.audit import trail
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship

ME = "/api/v1/me"


@pytest.fixture
def caller_id() -> str:
    return f"test-{uuid4().hex}"


def kept(request_id: str) -> list[AuditEvent]:
    spool = trail.start()
    spool.hand_over()
    ship(spool)
    return list(AuditEvent.objects.filter(request_id=request_id))


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/admin/accounts/user/add/"])
def test_keeps_no_form_without_its_token_from_a_stranger(
    gateway: str, caller_id: str, path: str
) -> None:
    with httpx.Client(base_url=gateway, headers={"x-request-id": caller_id}) as stranger:
        answer = stranger.post(path, data={"username": "root"})

    assert (answer.status_code, answer.headers["x-request-id"]) == (403, caller_id)
    assert kept(caller_id) == []


@pytest.mark.parametrize("path", [ME, "/api/v1/llm/models"])
def test_keeps_that_somebody_who_is_suspended_was_refused(
    client_for: Callable[[str], httpx.Client], caller_id: str, path: str
) -> None:
    alice = client_for("alice@example.com")
    user_id = alice.get(ME).json()["id"]
    User.objects.filter(pk=user_id).update(is_active=False)
    bob = client_for("alice@example.com")  # with a token that nobody remembers yet

    answer = bob.get(path, headers={"x-request-id": caller_id})

    assert (answer.status_code, answer.json()["code"]) == (403, "policy_account_suspended")
    assert [event.code for event in kept(caller_id)] == ["policy_account_suspended"]


def test_tells_apart_what_came_under_one_name(
    client_for: Callable[[str], httpx.Client], caller_id: str
) -> None:
    alice = client_for("alice@example.com")
    for path in (ME, "/api/v1/templates"):
        alice.get(path, headers={"x-request-id": caller_id})
    spoilt = alice.get(ME, headers={"x-request-id": "a b"})

    assert len({event.id for event in kept(caller_id)}) == 2
    assert spoilt.headers["x-request-id"].startswith("req_")
