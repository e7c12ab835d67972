"""Supabase Auth's administration, asked of the stand-in with each form of its keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from accounts.supabase import client
from accounts.supabase.answers import TokenState
from accounts.supabase.client import SignOutScope
from gateway_core.errors import (
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamError,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway_project.sandbox.store import free_port
from gateway_project.sandbox.supabase import LEGACY_SECRET, PUBLISHABLE_KEY, SECRET_KEY
from tests.conftest import RunningSupabase


def legacy_key(role: str) -> str:
    return jwt.encode({"iss": "supabase", "role": role}, LEGACY_SECRET, "HS256")


@pytest.fixture(
    params=[(PUBLISHABLE_KEY, SECRET_KEY), (legacy_key("anon"), legacy_key("service_role"))],
    ids=["new keys", "legacy keys"],
)
def _keys(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.SUPABASE_KEY, settings.SUPABASE_SERVICE_KEY = request.param


@pytest.fixture
def alice(supabase: RunningSupabase) -> dict[str, Any]:
    """Alice's session, as she got it when she signed in."""
    return dict(supabase.mint(email="alice@example.com")["session"])


def id_of(session: dict[str, Any]) -> UUID:
    return UUID(session["user"]["id"])


def token_of(session: dict[str, Any]) -> bytes:
    return str(session["access_token"]).encode()


def sign_in(supabase: RunningSupabase) -> dict[str, Any]:
    """Alice, on another device."""
    return dict(supabase.mint(email="alice@example.com")["session"])


@pytest.mark.usefixtures("_keys")
def test_finds_a_user_by_id(alice: dict[str, Any]) -> None:
    user = client.find_user(id_of(alice))
    assert user is not None
    assert (user.id, user.email, user.is_anonymous) == (id_of(alice), "alice@example.com", False)
    assert user.banned_until is user.deleted_at is None
    assert client.find_user(uuid4()) is None


@pytest.mark.usefixtures("_keys")
def test_bans_and_lifts_the_ban(alice: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    assert client.ban_user(id_of(alice), timedelta(hours=1))
    user = client.find_user(id_of(alice))
    assert user is not None
    assert user.banned_until is not None
    assert timedelta(minutes=59) < user.banned_until - now < timedelta(minutes=61)
    assert (user.is_banned(now), user.is_banned(now + timedelta(hours=2))) == (True, False)
    assert client.state_of(token_of(alice))[0] is TokenState.BANNED
    assert client.unban_user(id_of(alice))
    assert client.state_of(token_of(alice))[0] is TokenState.GOOD


def test_bans_for_good(alice: dict[str, Any]) -> None:
    client.ban_user(id_of(alice))
    user = client.find_user(id_of(alice))
    assert user is not None
    assert user.is_banned(datetime.now(UTC) + timedelta(days=36_000))


@pytest.mark.usefixtures("_keys")
def test_deletes_a_user(alice: dict[str, Any]) -> None:
    assert client.delete_user(id_of(alice))
    assert client.find_user(id_of(alice)) is None
    assert client.state_of(token_of(alice)) == (TokenState.ACCOUNT_GONE, None)


def test_deletes_a_user_softly(alice: dict[str, Any]) -> None:
    assert client.delete_user(id_of(alice), softly=True)
    user = client.find_user(id_of(alice))
    assert user is not None
    assert user.deleted_at is not None
    assert "alice" not in repr(user)
    assert client.state_of(token_of(alice))[0] is TokenState.SESSION_ENDED


@pytest.mark.usefixtures("supabase")
def test_says_that_there_is_no_such_user() -> None:
    nobody = uuid4()
    assert not client.ban_user(nobody)
    assert not client.unban_user(nobody)
    assert not client.delete_user(nobody)


@pytest.mark.parametrize(
    ("scope", "this", "other"),
    [
        (SignOutScope.LOCAL, TokenState.SESSION_ENDED, TokenState.GOOD),
        (SignOutScope.OTHERS, TokenState.GOOD, TokenState.SESSION_ENDED),
        (SignOutScope.GLOBAL, TokenState.SESSION_ENDED, TokenState.SESSION_ENDED),
    ],
)
@pytest.mark.usefixtures("_keys")
def test_ends_sessions_by_scope(
    supabase: RunningSupabase,
    alice: dict[str, Any],
    scope: SignOutScope,
    this: TokenState,
    other: TokenState,
) -> None:
    elsewhere = sign_in(supabase)
    assert client.sign_out(token_of(alice), scope) is TokenState.GOOD
    assert client.state_of(token_of(alice))[0] is this
    assert client.state_of(token_of(elsewhere))[0] is other


def test_says_that_a_session_has_ended_already(alice: dict[str, Any]) -> None:
    client.sign_out(token_of(alice))
    assert client.sign_out(token_of(alice)) is TokenState.SESSION_ENDED


def test_says_that_supabase_refuses_a_token(supabase: RunningSupabase) -> None:
    forged = supabase.mint(alg="none")["access_token"].encode()
    assert client.state_of(forged) == (TokenState.TOKEN_REFUSED, None)


def test_says_whose_token_it_is(alice: dict[str, Any]) -> None:
    _, user = client.state_of(token_of(alice))
    assert user is not None
    assert user.id == id_of(alice)


def test_lists_users_in_pages_each_when_it_is_wanted(supabase: RunningSupabase) -> None:
    supabase.client.post("/_sandbox/users", json={"count": 5}).raise_for_status()
    pages = client.list_users(page_size=2)
    assert [user.email for user in next(pages)] == ["user4@example.com", "user3@example.com"]
    assert len(supabase.requests("admin/users")) == 1
    assert [[user.email for user in page] for page in pages] == [
        ["user2@example.com", "user1@example.com"],
        ["user0@example.com"],
    ]


@pytest.mark.usefixtures("_keys")
def test_finds_users_by_their_whole_address(supabase: RunningSupabase) -> None:
    headers = {"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"}
    others = ("anna@example.com", "joanna@example.com", "na@example.community", "na@example.com.au")
    for address in ("na@example.com", *others):
        wish = {"email": address, "user_metadata": {"full_name": "Called na@example.com"}}
        path = "/auth/v1/admin/users"
        supabase.client.post(path, json=wish, headers=headers).raise_for_status()

    (found,) = client.find_users("Na@Example.com")

    assert found.email == "na@example.com"
    assert client.find_users("example.com") == []


def test_finds_all_users_of_one_address(supabase: RunningSupabase) -> None:
    """A user who comes by single sign-on can have the address of another."""
    ids = {id_of(supabase.mint(email=f"{name}@example.com")["session"]) for name in ("a", "b")}
    headers = {"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"}
    for user_id in ids:
        path, wish = f"/auth/v1/admin/users/{user_id}", {"email": "both@example.com"}
        supabase.client.put(path, json=wish, headers=headers).raise_for_status()

    assert {user.id for user in client.find_users("both@example.com")} == ids


def test_tells_all_that_supabase_has_of_a_user(alice: dict[str, Any]) -> None:
    record = client.user_record(id_of(alice))
    assert record is not None
    assert record["identities"]
    assert client.user_record(uuid4()) is None


@pytest.mark.usefixtures("supabase")
def test_lists_nobody_where_there_is_nobody() -> None:
    assert list(client.list_users()) == []


@pytest.mark.usefixtures("_keys", "supabase")
def test_asks_for_the_version() -> None:
    assert client.version() == "v2.196.0-sandbox"


def test_shows_the_secret_key_to_no_call_of_a_user(
    supabase: RunningSupabase, alice: dict[str, Any]
) -> None:
    client.state_of(token_of(alice))
    client.sign_out(token_of(alice))
    assert len(supabase.requests("/user|/logout")) == 2
    assert SECRET_KEY not in str(supabase.requests("/user|/logout"))


def test_keeps_no_key_and_no_token(alice: dict[str, Any]) -> None:
    client.find_user(id_of(alice))
    client.state_of(token_of(alice))
    connections = client._connections(5.0)
    kept = repr(connections) + repr(vars(connections._opened()))
    for secret in (SECRET_KEY, PUBLISHABLE_KEY, alice["access_token"]):
        assert secret not in kept


CALLS = {
    "find_user": lambda: client.find_user(uuid4()),
    "list_users": lambda: next(client.list_users()),
    "ban_user": lambda: client.ban_user(uuid4()),
    "delete_user": lambda: client.delete_user(uuid4()),
    "state_of": lambda: client.state_of(b"a.b.c"),
    "sign_out": lambda: client.sign_out(b"a.b.c"),
    "version": lambda: client.version(),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_call
@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        ({"status": 500}, UpstreamFailed),
        ({"status": 503, "body": "<html>"}, UpstreamFailed),
        ({"status": 429, "headers": {"retry-after": "7"}}, UpstreamOverloaded),
        ({"status": 401, "body": {"message": "Invalid API key"}}, UpstreamCredentialRejected),
        ({"status": 403, "body": {"code": "not_admin"}}, UpstreamCredentialRejected),
        ({"status": 403, "body": {"code": "insufficient_aal"}}, UpstreamFailed),
        ({"status": 422, "body": {"error_code": "validation_failed"}}, UpstreamFailed),
        ({"status": 404, "body": {"message": "no Route matched"}}, UpstreamAnswerInvalid),
        ({"status": 302, "headers": {"location": "http://127.0.0.1:1/"}}, UpstreamAnswerInvalid),
        ({"cut_after": 0}, UpstreamInterrupted),
    ],
    ids=["500", "503", "429", "401", "403", "403 of another kind", "422", "404", "302", "cut"],
)
def test_tells_failures_apart(
    supabase: RunningSupabase, call: Any, fault: dict[str, Any], meaning: type[UpstreamError]
) -> None:
    supabase.fault("^/auth/v1", **fault)
    with pytest.raises(UpstreamError) as failure:
        call()
    assert type(failure.value) is meaning
    assert "supabase" not in failure.value.detail.lower()


def test_says_when_to_ask_again(supabase: RunningSupabase) -> None:
    supabase.fault("^/auth/v1", status=429, headers={"retry-after": "7"})
    with pytest.raises(UpstreamOverloaded) as failure:
        client.version()
    assert failure.value.retry_after == 7


@every_call
def test_waits_no_longer_than_it_is_set_to(
    supabase: RunningSupabase, call: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAGE_SECONDS", 0.05)
    settings.SUPABASE_TIMEOUT = 0.05
    supabase.fault("^/auth/v1", delay=0.3)
    with pytest.raises(UpstreamTimeout):
        call()


@every_call
def test_says_that_supabase_is_away(call: Any, settings: Any) -> None:
    settings.SUPABASE_URL = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UpstreamUnreachable):
        call()


@every_call
def test_says_that_no_project_is_configured(call: Any, settings: Any) -> None:
    settings.SUPABASE_URL = ""
    with pytest.raises(UpstreamUnreachable, match="configured"):
        call()


def test_says_that_there_is_no_secret_key(settings: Any) -> None:
    settings.SUPABASE_SERVICE_KEY = ""
    with pytest.raises(UpstreamUnreachable, match="secret key"):
        client.find_user(uuid4())


def test_says_that_the_secret_key_is_a_publishable_one(
    supabase: RunningSupabase, settings: Any
) -> None:
    del supabase
    settings.SUPABASE_SERVICE_KEY = PUBLISHABLE_KEY
    with pytest.raises(UpstreamCredentialRejected):
        client.find_user(uuid4())


USER = {"id": str(uuid4()), "email": "", "updated_at": "2026-11-23T01:33:15.513297243Z"}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"users": {}},
        {"users": [1]},
        {"users": [{}]},
        {"users": [{**USER, "id": "7"}]},
        {"users": [{**USER, "id": 7}]},
        {"users": [{**USER, "email": 7}]},
        {"users": [{**USER, "email": "a\nb@example.com"}]},
        {"users": [{**USER, "email": "a" * 400}]},
        {"users": [{**USER, "updated_at": "yesterday"}]},
        {"users": [{**USER, "updated_at": "2026-11-23T01:33:15"}]},
        {"users": [{**USER, "banned_until": True}]},
    ],
)
def test_takes_no_page_that_is_none(supabase: RunningSupabase, body: Any) -> None:
    supabase.fault("admin/users", status=200, body=body)
    with pytest.raises(UpstreamAnswerInvalid):
        next(client.list_users())


@every_call
def test_takes_no_garbage(supabase: RunningSupabase, call: Any) -> None:
    supabase.fault("^/auth/v1", garbage=True)
    with pytest.raises(UpstreamAnswerInvalid):
        call()


def test_follows_no_list_without_end(supabase: RunningSupabase) -> None:
    supabase.fault("admin/users", status=200, body={"users": [USER]})
    with pytest.raises(UpstreamAnswerInvalid):
        list(client.list_users(page_size=1))


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        (None, ""),
        ([], ""),
        ({"name": 7}, ""),
        ({"name": "  "}, ""),
        ({"name": "Alice"}, "Alice"),
        ({"name": "al", "full_name": "Alice Liddell"}, "Alice Liddell"),
        ({"name": " A\x00l\nice \u202e ecila "}, "A l ice ecila"),
        ({"name": "x" * 500}, "x" * 150),
        ({"name": "<script>"}, "<script>"),
    ],
)
def test_reads_a_name_that_is_safe_to_show(
    supabase: RunningSupabase, metadata: Any, name: str
) -> None:
    member = {**USER, "user_metadata": metadata}
    supabase.fault("admin/users", status=200, body={"users": [member]})
    (user,) = next(client.list_users())
    assert user.name == name
