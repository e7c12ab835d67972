"""A denial ends what is under way, in the process where it is decided and in any other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from accounts.models import User
from accounts.services import suspend_user
from accounts.sessions.services import deny_session, deny_user
from accounts.supabase import client as supabase_client
from tests.accounts.sessions.conftest import SignIn, Visit
from tests.conftest import Running
from tests.second_gateway import second_gateway
from tests.timing import wait_until

# Would go on for a minute.
LONG = {
    "model": "stub/s-n3000-d20",
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}
CHAT = "/api/v1/llm/chat/completions"
ME = "/api/v1/me"


@pytest.fixture
def here(gateway: str) -> str:
    return gateway


@pytest.fixture
def there(gateway: str, tmp_path: Path) -> Iterator[str]:
    del gateway
    with second_gateway(tmp_path) as url:
        yield url


@contextmanager
def streaming(url: str, visit: Visit) -> Iterator[Iterator[str]]:
    """A model call under way; the lines of its answer."""
    with (
        httpx.Client(base_url=url, headers=visit.headers, timeout=10) as client,
        client.stream("POST", CHAT, json=LONG) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        yield lines


def ending(lines: Iterator[str], *, within: float) -> str:
    """Return the code of the error that a stream ends with."""
    deadline = time.monotonic() + within
    rest = []
    for line in lines:
        assert time.monotonic() < deadline
        rest.append(line)
    assert "event: error" in rest
    return str(json.loads(rest[rest.index("event: error") + 1].removeprefix("data: "))["code"])


def still_goes_on(lines: Iterator[str]) -> bool:
    """Say whether twenty more lines, that is as many pieces of 20 ms, have no error in them."""
    return not any("error" in next(lines) for _ in range(20))


def sign_out(url: str, visit: Visit) -> None:
    httpx.post(f"{url}{ME}/sign-out", headers=visit.headers).raise_for_status()


def test_ends_the_streams_of_a_session(here: str, sign_in: SignIn, litellm: Running) -> None:
    ended, other = sign_in(), sign_in()
    with streaming(here, ended) as lines, streaming(here, other) as others:
        deny_session(session_id=ended.session_id, user_id=ended.user_id, by=None)
        assert ending(lines, within=1) == "caller_token_revoked"
        assert wait_until(lambda: litellm.requests("chat/completions")[0]["client_left"]) < 1
        assert still_goes_on(others)


def test_ends_the_streams_of_a_user(here: str, sign_in: SignIn) -> None:
    visit, bob = sign_in(), sign_in("bob@example.com")
    with streaming(here, visit) as lines, streaming(here, bob) as of_bob:
        deny_user(user_id=visit.user_id, by=None)
        assert ending(lines, within=1) == "policy_account_suspended"
        assert still_goes_on(of_bob)


@pytest.mark.parametrize("is_suspended", [True, False])
def test_ends_the_streams_of_a_user_whose_token_has_expired_meanwhile(
    here: str, sign_in: SignIn, settings: Any, *, is_suspended: bool
) -> None:
    visit = sign_in(exp=int(time.time()) - 5)
    with streaming(here, visit) as lines:
        settings.TOKEN_LEEWAY_SECONDS = 0
        if is_suspended:
            suspend_user(user_id=visit.user_id, by=User.objects.get(pk=visit.user_id))
        else:
            deny_user(user_id=visit.user_id, by=None)
        assert ending(lines, within=1) == "policy_account_suspended"


def test_goes_on_with_streams_whose_token_has_merely_expired(
    here: str, sign_in: SignIn, settings: Any
) -> None:
    visit = sign_in(exp=int(time.time()) - 5)
    with streaming(here, visit) as lines:
        settings.TOKEN_LEEWAY_SECONDS = 0
        deny_session(session_id=visit.user_id, user_id=visit.user_id, by=None)
        assert still_goes_on(lines)


def test_ends_streams_in_another_process(there: str, sign_in: SignIn) -> None:
    visit = sign_in()
    with streaming(there, visit) as lines:
        deny_user(user_id=visit.user_id, by=None)
        assert ending(lines, within=1) == "policy_account_suspended"


def test_signing_out_in_one_process_ends_streams_in_another(
    here: str, there: str, sign_in: SignIn
) -> None:
    visit, other = sign_in(), sign_in()
    with streaming(there, visit) as lines:
        sign_out(here, visit)
        assert ending(lines, within=1) == "caller_token_revoked"
    assert httpx.get(f"{there}{ME}", headers=visit.headers).status_code == 401
    assert httpx.get(f"{there}{ME}", headers=other.headers).status_code == 200


def test_is_heeded_by_the_next_request_in_another_process(there: str, sign_in: SignIn) -> None:
    visit = sign_in()

    def status() -> int:
        return httpx.get(f"{there}{ME}", headers=visit.headers).status_code

    assert status() == 200
    deny_user(user_id=visit.user_id, by=None)
    assert wait_until(lambda: status() == 403) < 1


def test_goes_on_with_streams_of_an_unhurt_user_when_something_else_changes(
    here: str, sign_in: SignIn
) -> None:
    visit = sign_in()
    with streaming(here, visit) as lines:
        deny_session(session_id=visit.user_id, user_id=visit.user_id, by=None)
        assert still_goes_on(lines)


def test_under_always_a_broadcast_ends_streams_of_sessions_that_ended_at_supabase(
    here: str, sign_in: SignIn, settings: object
) -> None:
    settings.SESSION_POLICY = "always"  # type: ignore[attr-defined]
    visit = sign_in()
    with streaming(here, visit) as lines:
        supabase_client.sign_out(visit.token)
        deny_session(session_id=visit.user_id, user_id=visit.user_id, by=None)
        assert ending(lines, within=1) == "caller_token_revoked"
    assert User.objects.get(pk=visit.user_id).is_active
