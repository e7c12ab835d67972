from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from accounts.models import Denial
from accounts.supabase import client as supabase_client
from gateway_core import cache
from tests.agents.conftest import Caller, InLetta
from tests.conftest import RunningSupabase

ASKED = "^/auth/v1/user$"


def delete(caller: Caller, agent: dict[str, Any]) -> httpx.Response:
    return caller.letta("DELETE", f"/agents/{agent['id']}")


@pytest.fixture(autouse=True)
def _nobody_asked(
    alice: Caller, agent: dict[str, Any], supabase: RunningSupabase
) -> Iterator[None]:
    del alice, agent
    cache.clear_all()
    supabase.client.delete("/_sandbox/requests")
    yield
    cache.clear_all()


def test_ends_here_a_session_that_has_ended_there(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    token = alice.client.headers["authorization"].removeprefix("Bearer ")
    supabase_client.sign_out(token.encode())

    answer = delete(alice, agent)

    assert (answer.status_code, answer.json()["code"]) == (401, "caller_token_revoked")
    assert Denial.objects.count() == 1
    assert in_letta.ids() == [agent["id"]]


def test_deletes_nothing_while_supabase_can_not_say(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta, supabase: RunningSupabase
) -> None:
    supabase.fault(ASKED, status=502)

    answer = delete(alice, agent)

    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unreachable")
    assert in_letta.ids() == [agent["id"]]


def test_asks_once_before_it_deletes_and_never_before_it_reads(
    alice: Caller, agent: dict[str, Any], supabase: RunningSupabase
) -> None:
    alice.letta("GET", f"/agents/{agent['id']}").raise_for_status()
    assert supabase.requests(ASKED) == []

    delete(alice, agent).raise_for_status()
    assert len(supabase.requests(ASKED)) == 1


def test_asks_nothing_when_the_policy_is_off(
    alice: Caller, agent: dict[str, Any], supabase: RunningSupabase, settings: Any
) -> None:
    settings.SESSION_POLICY = "off"
    delete(alice, agent).raise_for_status()
    assert supabase.requests(ASKED) == []


def test_an_api_key_has_no_session_to_ask_about(
    alice: Caller, agent: dict[str, Any], supabase: RunningSupabase
) -> None:
    secret = alice.post("/llm/keys", json={"name": "cron", "scopes": ["letta"]})["secret"]
    supabase.client.delete("/_sandbox/requests")
    headers = {"authorization": f"Bearer {secret}"}

    answer = alice.letta("DELETE", f"/agents/{agent['id']}", headers=headers)

    assert answer.is_success
    assert supabase.requests(ASKED) == []
