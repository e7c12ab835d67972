"""Which calls a session that has ended at Supabase can't make, though its token is still good."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from accounts.models import User
from accounts.supabase import client as supabase_client
from tests.conftest import RunningSupabase

SignIn = Callable[[str], httpx.Client]
ASKED = "^/auth/v1/user$"
ID = "0190b6a0-0000-7000-8000-000000000000"
# None of the things is there: whether the session lives is found out before that.
ASKED_BEFORE = [
    ("DELETE", "/me"),
    ("POST", "/me/export"),
    ("GET", "/me/export/file"),
    ("POST", "/llm/keys"),
    ("PATCH", f"/llm/keys/{ID}"),
    ("POST", f"/llm/keys/{ID}/rotate"),
    ("DELETE", "/agents/agent-1"),
    ("DELETE", f"/letta/v1/agents/agent-{ID}"),
    ("POST", "/templates/publish"),
    ("POST", "/templates/import"),
    ("POST", f"/templates/{ID}/clone"),
    ("DELETE", f"/templates/{ID}"),
    ("POST", "/ams/templates/publish"),
    ("POST", f"/templates/{ID}/migrations"),
    ("POST", f"/templates/{ID}/migrations/{ID}/resume"),
]
NOT_ASKED_BEFORE = [
    ("GET", "/me"),
    ("GET", "/agents"),
    ("POST", "/templates/validate"),
    # What takes rights away, and what stops something, must not wait for Supabase.
    ("DELETE", f"/llm/keys/{ID}"),
    ("POST", f"/templates/{ID}/migrations/{ID}/pause"),
    ("POST", f"/templates/{ID}/migrations/{ID}/cancel"),
]


@pytest.fixture
def alice(client_for: SignIn) -> httpx.Client:
    """Return a superuser's client, so that nothing is refused for that alone."""
    client = client_for("alice@example.com")
    client.get("/api/v1/me").raise_for_status()
    User.objects.update(is_staff=True, is_superuser=True)
    return client


def end(client: httpx.Client) -> None:
    token = client.headers["authorization"].removeprefix("Bearer ")
    supabase_client.sign_out(token.encode())


@pytest.mark.parametrize(("method", "path"), ASKED_BEFORE)
def test_refuses_a_session_that_has_ended(method: str, path: str, alice: httpx.Client) -> None:
    end(alice)

    answer = alice.request(method, f"/api/v1{path}", json={})

    assert (answer.status_code, answer.json()["code"]) == (401, "caller_token_revoked")


@pytest.mark.parametrize(("method", "path"), NOT_ASKED_BEFORE)
def test_does_what_is_harmless_without_asking(
    method: str, path: str, alice: httpx.Client, supabase: RunningSupabase
) -> None:
    end(alice)
    supabase.client.delete("/_sandbox/requests")

    assert alice.request(method, f"/api/v1{path}", json={}).status_code not in (401, 403, 503)
    assert supabase.requests(ASKED) == []
