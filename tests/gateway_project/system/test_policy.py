from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from gateway_core.audit.events import encode
from gateway_core.audit.models import AuditEvent
from tests.conftest import RunningSupabase

SIMULATE = "/api/v1/system/policy/simulate"


@pytest.fixture
def alice() -> User:
    return User.objects.create(email="alice@example.com")


def asked(**parts: Any) -> dict[str, Any]:
    return {"user": "alice@example.com", "method": "GET", "path": "/agents/", **parts}


def test_answers_nobody_without_a_token(client: Client) -> None:
    response = client.post(SIMULATE, asked(), content_type="application/json")

    assert response.status_code == 401
    assert response.json()["code"] == "caller_token_missing"


@pytest.mark.django_db
def test_answers_no_end_user(client: Client, supabase: RunningSupabase) -> None:
    headers = {"authorization": f"Bearer {supabase.token('alice@example.com')}"}

    response = client.post(SIMULATE, asked(), content_type="application/json", headers=headers)

    assert response.status_code == 403
    assert response.json()["code"] == "policy_forbidden"


@pytest.mark.django_db(transaction=True)
def test_answers_staff_who_are_signed_in_to_the_admin(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("staff", is_staff=True))
    token = client.get("/admin/password_change/").cookies["csrftoken"].value

    without = client.post(SIMULATE, asked(), content_type="application/json")
    response = client.post(
        SIMULATE,
        asked(user=str(alice.pk)),
        content_type="application/json",
        headers={"x-csrftoken": token},
    )

    assert without.status_code == 403
    assert response.status_code == 200
    assert response.json()["answer"] == "allowed"


@pytest.fixture
def staff(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    client = client_for("staff@example.com")
    client.get("/api/v1/me").raise_for_status()
    User.objects.filter(email="staff@example.com").update(is_staff=True)
    return client


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"user": "nobody@example.com"}, "/user"),
        ({"method": "BREW"}, "/method"),
        ({"path": "agents"}, "/path"),
        ({"rules": [{"path_pattern": "/agents/messages"}]}, "/rules/0/path_pattern"),
        ({"rules": [{"path_pattern": "/agents", "effect": "allow"}]}, "/rules/0/effect"),
        ({"rules": [{"path_pattern": "/agents"}] * 11}, "/rules"),
    ],
)
def test_points_at_what_is_wrong(
    staff: httpx.Client, alice: User, parts: dict[str, Any], pointer: str
) -> None:
    del alice
    response = staff.post(SIMULATE, json=asked(**parts))

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


def test_wants_the_id_where_an_address_is_not_enough(staff: httpx.Client, alice: User) -> None:
    User.objects.create(email=alice.email)

    response = staff.post(SIMULATE, json=asked())

    assert response.status_code == 422
    assert "Give the id" in response.json()["detail"]


def test_tries_rules_that_are_not_saved(staff: httpx.Client, alice: User) -> None:
    rules = [
        {"path_pattern": "/v1/agents/", "method": "GET"},
        {"path_pattern": "/**", "effect": "shadow", "role": "anonymous"},
        {"path_pattern": "/agents", "effect": "shadow", "user": str(alice.pk)},
    ]

    tried = staff.post(SIMULATE, json=asked(rules=rules)).json()
    plain = staff.post(SIMULATE, json=asked()).json()

    assert (tried["answer"], tried["code"]) == ("denied", "policy_rule_denied")
    found = {step["name"]: step["outcome"] for step in tried["steps"]}
    assert found["tried-1"] == "denied"
    assert found["tried-3"] == "noted"
    assert "tried-2" not in found
    assert plain["answer"] == "allowed"


def test_counts_what_a_rule_would_have_matched(staff: httpx.Client, alice: User) -> None:
    anonymous = User.objects.create(is_anonymous_user=True)
    for user in (alice, alice, anonymous):
        _store("GET", "/api/v1/letta/v1/agents/", user)
    _store("POST", "/api/v1/letta/v1/agents/", alice)
    _store("GET", "/api/v1/letta/v1/agents/agent-1/messages", alice)
    _store("GET", "/api/v1/letta/v1/admin/users/", alice)
    _store("GET", "/api/v1/letta/v1/agents//x", alice)
    _store("GET", "/api/v1/llm/v1/models", alice, route="llm")
    old = _store("GET", "/api/v1/letta/v1/agents/", alice)
    AuditEvent.objects.filter(pk=old).update(at=timezone.now() - timedelta(hours=25))
    patterns: list[dict[str, Any]] = [
        {"path_pattern": "/agents", "method": "GET"},
        {"path_pattern": "/agents", "method": "GET", "role": "anonymous"},
        {"path_pattern": "/agents", "method": "GET", "user": str(alice.pk)},
        {"path_pattern": "/**"},
        {"path_pattern": "/agents/agent-1/**"},
    ]

    answer = staff.post(SIMULATE, json=asked(rules=patterns)).json()

    assert [tried["matched"] for tried in answer["tried"]] == [3, 1, 2, 5, 1]
    assert {tried["events"] for tried in answer["tried"]} == {7}


def _store(method: str, path: str, user: User, *, route: str = "letta") -> Any:
    event: dict[str, Any] = {
        "plane": "data",
        "action": "x",
        "route": route,
        "method": method,
        "path": path,
        "user_id": user.pk,
        "status": 200,
        "facts": {},
    }
    names = ("resource", "client_ip", "request_id", "trace_id", "code")
    event |= dict.fromkeys(names, "") | {"bytes_in": 0, "bytes_out": 0}
    AuditEvent.objects.store([encode(event)])
    return AuditEvent.objects.latest("id").pk
