"""The policy: when Supabase is asked, what its answers mean, and what happens when it has none."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.principals import memory
from accounts.principals.identify import identify_token, identify_token_sync
from accounts.sessions import liveness
from accounts.sessions.liveness import Session, require_live
from accounts.supabase import client
from gateway_core.errors import (
    AccountSuspended,
    Code,
    GatewayError,
    TokenRejected,
    UpstreamCredentialRejected,
    UpstreamUnreachable,
)
from tests.accounts.sessions.conftest import SignIn, Visit
from tests.conftest import RunningSupabase

pytestmark = pytest.mark.django_db(transaction=True)
ASKED = "^/auth/v1/user$"


@pytest.fixture(params=["off", "sensitive", "always"])
def policy(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.SESSION_POLICY = request.param
    return str(request.param)


@pytest.fixture
def _always(settings: Any) -> None:
    settings.SESSION_POLICY = "always"


def session(visit: Visit, **changes: Any) -> Session:
    usual = {
        "user_id": visit.user_id,
        "session_id": visit.session_id,
        "expires_at": time.time() + 600,
        "token": visit.token,
    }
    return Session(**{**usual, **changes})


def refusal(visit: Visit, **changes: Any) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        require_live(session(visit, **changes))
    return refused.value


def test_takes_a_session_that_lives(sign_in: SignIn, settings: Any) -> None:
    settings.CACHE_TTL_SESSION = 40
    before = time.time()
    assert before + 40 <= require_live(session(sign_in())) <= time.time() + 40


def test_tells_endings_apart(sign_in: SignIn) -> None:
    signed_out, gone, banned = (sign_in(f"{name}@example.com") for name in "abc")
    client.sign_out(signed_out.token)
    client.delete_user(gone.user_id)
    client.ban_user(banned.user_id)
    codes = [refusal(visit).code for visit in (signed_out, gone, banned)]
    assert codes == [
        Code.CALLER_TOKEN_REVOKED,
        Code.CALLER_TOKEN_REVOKED,
        Code.POLICY_ACCOUNT_SUSPENDED,
    ]
    assert "signed out" in refusal(signed_out).detail
    assert "no longer exists" in refusal(gone).detail
    assert "banned" in refusal(banned).detail


@pytest.mark.parametrize(
    ("member", "error"), [("banned_until", AccountSuspended), ("deleted_at", TokenRejected)]
)
def test_reads_what_older_servers_say_in_the_user_alone(
    member: str, error: type[GatewayError], sign_in: SignIn, supabase: RunningSupabase
) -> None:
    visit = sign_in()
    now = datetime.now(UTC)
    body = {
        "id": str(visit.user_id),
        "updated_at": now.isoformat(),
        member: (now + timedelta(hours=1)).isoformat(),
    }
    supabase.fault(ASKED, status=200, body=body)
    assert isinstance(refusal(visit), error)


def test_takes_a_user_whose_ban_is_over(sign_in: SignIn, supabase: RunningSupabase) -> None:
    visit = sign_in()
    now = datetime.now(UTC).isoformat()
    body = {"id": str(visit.user_id), "updated_at": now, "banned_until": now}
    supabase.fault(ASKED, status=200, body=body)
    assert require_live(session(visit))


def test_takes_no_answer_about_somebody_else(sign_in: SignIn, supabase: RunningSupabase) -> None:
    visit, other = sign_in(), sign_in("bob@example.com")
    body = {"id": str(other.user_id), "updated_at": datetime.now(UTC).isoformat()}
    supabase.fault(ASKED, status=200, body=body)
    assert isinstance(refusal(visit), UpstreamUnreachable)


def test_asks_once_for_each_session_until_the_answer_is_old(
    sign_in: SignIn, supabase: RunningSupabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = sign_in(), sign_in()
    for visit in (here, here, there, here):
        require_live(session(visit))
    assert len(supabase.requests(ASKED)) == 2
    now = time.monotonic()
    monkeypatch.setattr(liveness._verdicts, "_clock", lambda: now + 44)
    require_live(session(here))
    assert len(supabase.requests(ASKED)) == 2
    monkeypatch.setattr(liveness._verdicts, "_clock", lambda: now + 46)
    require_live(session(here))
    assert len(supabase.requests(ASKED)) == 3


def test_remembers_an_ending_too(sign_in: SignIn, supabase: RunningSupabase) -> None:
    visit = sign_in()
    client.sign_out(visit.token)
    refusal(visit)
    refusal(visit)
    assert len(supabase.requests(ASKED)) == 1


def test_holds_a_refused_token_against_no_other_of_the_session(
    sign_in: SignIn, supabase: RunningSupabase
) -> None:
    visit = sign_in()
    supabase.fault(ASKED, times=1, status=403, body={"error_code": "bad_jwt"})
    assert refusal(visit).code is Code.CALLER_TOKEN_INVALID
    assert require_live(session(visit))


def test_calls_a_token_expired_that_is_refused_within_the_leeway(
    sign_in: SignIn, supabase: RunningSupabase
) -> None:
    supabase.fault(ASKED, status=403, body={"error_code": "bad_jwt"})
    error = refusal(sign_in(), expires_at=time.time() - 5)
    assert error.code is Code.CALLER_TOKEN_EXPIRED


def test_asks_again_after_something_has_changed_for_the_user(
    sign_in: SignIn, supabase: RunningSupabase
) -> None:
    visit = sign_in()
    require_live(session(visit))
    memory.forget_user(visit.user_id)
    require_live(session(visit))
    assert len(supabase.requests(ASKED)) == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 429, "headers": {"retry-after": "9"}},
        {"status": 404},
        {"garbage": True},
        {"cut_after": 0},
        {"delay": 0.3},
    ],
    ids=["500", "429", "404", "garbage", "cut", "slow"],
)
def test_fails_closed_when_supabase_can_not_say(
    fault: dict[str, Any], sign_in: SignIn, supabase: RunningSupabase, settings: Any
) -> None:
    settings.SUPABASE_TIMEOUT = 0.1
    supabase.fault(ASKED, **fault)
    error = refusal(sign_in())
    assert isinstance(error, UpstreamUnreachable)
    assert (error.status, error.retryable) == (503, True)
    assert error.retry_after == (9 if "headers" in fault else 2)
    assert "sign-in service" in error.detail


def test_leaves_supabase_alone_for_a_moment_after_a_failure(
    sign_in: SignIn, supabase: RunningSupabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    supabase.fault(ASKED, status=500, times=1)
    refusal(sign_in())
    for _ in range(5):
        assert isinstance(refusal(sign_in()), UpstreamUnreachable)
    assert len(supabase.requests(ASKED)) == 1
    now = time.monotonic()
    monkeypatch.setattr(liveness._pause, "_clock", lambda: now + 3)
    assert require_live(session(sign_in()))


def test_says_that_it_is_the_gateway_s_key_that_supabase_refuses(
    sign_in: SignIn, settings: Any
) -> None:
    visit = sign_in()
    settings.SUPABASE_KEY = "sb_publishable_wrong"
    assert isinstance(refusal(visit), UpstreamCredentialRejected)


def test_principals_depend_on_supabase_under_always_only(
    policy: str, sign_in: SignIn, supabase: RunningSupabase
) -> None:
    live, ended = sign_in(), sign_in()
    client.sign_out(ended.token, client.SignOutScope.LOCAL)
    assert identify_token_sync(live.token).user_id == live.user_id
    if policy == "always":
        with pytest.raises(TokenRejected) as refused:
            identify_token_sync(ended.token)
        assert refused.value.code is Code.CALLER_TOKEN_REVOKED
    else:
        assert identify_token_sync(ended.token).user_id == ended.user_id
    assert len(supabase.requests(ASKED)) == (2 if policy == "always" else 0)


@pytest.mark.usefixtures("_always")
async def test_many_first_requests_of_a_session_ask_once(
    sign_in: SignIn, supabase: RunningSupabase
) -> None:
    visit = sign_in()
    supabase.fault(ASKED, delay=0.1)
    found = await asyncio.gather(*(identify_token(visit.token) for _ in range(20)))
    assert {principal.user_id for principal in found} == {visit.user_id}
    assert len(supabase.requests(ASKED)) == 1


@pytest.mark.usefixtures("_always")
async def test_a_hanging_supabase_holds_up_nobody_who_is_known(
    sign_in: SignIn, supabase: RunningSupabase, settings: Any
) -> None:
    known = sign_in("known@example.com")
    await identify_token(known.token)
    settings.SUPABASE_TIMEOUT = 0.5
    supabase.fault(ASKED, delay=1)
    waiting = [asyncio.ensure_future(identify_token(sign_in().token)) for _ in range(30)]
    await asyncio.sleep(0.02)
    started = time.monotonic()
    for _ in range(100):
        assert await identify_token(known.token)
    assert not any(one.done() for one in waiting)
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in refused} == {UpstreamUnreachable}
    assert time.monotonic() - started < 3
    assert len(supabase.requests(ASKED)) <= 10


@pytest.mark.usefixtures("_always")
def test_works_a_principal_out_again_when_the_answer_is_old(
    sign_in: SignIn, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CACHE_TTL_SESSION = 40
    visit = sign_in()
    identify_token_sync(visit.token)
    client.sign_out(visit.token)
    assert identify_token_sync(visit.token)
    now = time.monotonic()
    for cache in (memory._cache, liveness._verdicts):
        monkeypatch.setattr(cache, "_clock", lambda: now + 41)
    with pytest.raises(TokenRejected):
        identify_token_sync(visit.token)


@pytest.mark.usefixtures("_always")
def test_remembers_nobody_longer_because_another_token_of_the_session_is_new(
    sign_in: SignIn, settings: Any
) -> None:
    settings.CACHE_TTL_SESSION = 40
    visit = sign_in()
    before = time.time()
    identify_token_sync(visit.token)
    (deadline, proof) = memory._cache._entries[next(iter(memory._cache._entries))]
    assert proof.good_until <= before + 41
    assert deadline <= time.monotonic() + 41


@pytest.mark.usefixtures("_always")
def test_lets_nobody_new_in_while_supabase_is_down(
    sign_in: SignIn, supabase: RunningSupabase
) -> None:
    known, new = sign_in("known@example.com"), sign_in("new@example.com")
    identify_token_sync(known.token)
    supabase.fault(ASKED, status=500)
    assert identify_token_sync(known.token)
    with pytest.raises(UpstreamUnreachable):
        identify_token_sync(new.token)


def test_many_threads_may_ask(sign_in: SignIn) -> None:
    visit = sign_in()
    barrier = threading.Barrier(10)

    def ask(_number: int) -> float:
        barrier.wait(10)
        return require_live(session(visit))

    with ThreadPoolExecutor(10) as pool:
        assert min(pool.map(ask, range(10))) > time.time()
