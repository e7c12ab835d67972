from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.sessions.models import Denial
from accounts.supabase import client as supabase_client
from accounts.supabase.answers import TokenState
from gateway_core.audit.models import AuditEvent
from tests.accounts.sessions.conftest import SignIn, Visit
from tests.conftest import RunningSupabase

pytestmark = pytest.mark.django_db(transaction=True)


def call(visit: Visit | None, method: str, target: str) -> Any:
    headers = visit.headers if visit else {}
    return Client().generic(method, target, headers=headers)


def sign_out(visit: Visit | None) -> Any:
    return call(visit, "POST", "/api/v1/me/sign-out")


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_ends_this_session_there_and_here(sign_in: SignIn) -> None:
    here, elsewhere = sign_in(), sign_in()
    answer = sign_out(here)
    assert (answer.status_code, answer.content) == (204, b"")
    assert supabase_client.state_of(here.token)[0] is TokenState.SESSION_ENDED
    refused(call(here, "GET", "/api/v1/me"), 401, "caller_token_revoked")
    assert supabase_client.state_of(elsewhere.token)[0] is TokenState.GOOD
    assert call(elsewhere, "GET", "/api/v1/me").status_code == 200


def test_denies_it_for_as_long_as_a_token_may_live(sign_in: SignIn, settings: Any) -> None:
    settings.TOKEN_MAX_LIFETIME_SECONDS = 4000
    sign_out(sign_in())
    until = Denial.objects.get().until
    assert until is not None
    left = until - timezone.now()
    assert timedelta(seconds=4025) < left <= timedelta(seconds=4030)


def test_records_it(sign_in: SignIn) -> None:
    visit = sign_in()
    sign_out(visit)
    event = AuditEvent.objects.get(action="session.deny")
    assert (event.user_id, event.user_email) == (visit.user_id, "alice@example.com")
    assert event.facts["reason"] == "signed_out"


def test_ends_here_what_has_ended_there_already(sign_in: SignIn) -> None:
    visit = sign_in()
    supabase_client.sign_out(visit.token)
    assert sign_out(visit).status_code == 204
    assert Denial.objects.get().session_id == visit.session_id


def test_can_not_be_repeated(sign_in: SignIn) -> None:
    visit = sign_in()
    sign_out(visit)
    refused(sign_out(visit), 401, "caller_token_revoked")


def test_wants_a_token() -> None:
    refused(sign_out(None), 401, "caller_token_missing")


def test_refuses_a_banned_user(sign_in: SignIn) -> None:
    visit = sign_in()
    supabase_client.ban_user(visit.user_id)
    refused(sign_out(visit), 403, "policy_account_suspended")


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        ({"status": 500}, (502, "upstream_failed")),
        ({"cut_after": 0}, (502, "upstream_interrupted")),
        ({"status": 401}, (502, "upstream_credential_rejected")),
        ({"delay": 0.3}, (504, "upstream_timeout")),
        ({"status": 200, "body": "<html>"}, (502, "upstream_answer_invalid")),
    ],
    ids=["500", "cut", "401", "slow", "garbage"],
)
def test_changes_nothing_when_supabase_does_not_do_it(
    fault: dict[str, Any],
    refusal: tuple[int, str],
    sign_in: SignIn,
    supabase: RunningSupabase,
    settings: Any,
) -> None:
    settings.SUPABASE_TIMEOUT = 0.1
    visit = sign_in()
    supabase.fault("/logout", **fault)
    refused(sign_out(visit), *refusal)
    assert call(visit, "GET", "/api/v1/me").status_code == 200
    assert not Denial.objects.exists()
    supabase.mend()
    assert sign_out(visit).status_code == 204


def test_leaves_the_user_s_row_alone(sign_in: SignIn) -> None:
    visit = sign_in()
    sign_out(visit)
    assert User.objects.get(pk=visit.user_id).is_active
