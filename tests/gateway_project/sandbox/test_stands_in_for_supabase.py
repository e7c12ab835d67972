"""The stand-in against the official Python client, with each kind of API key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import jwt
import pytest
import supabase as client_library
from supabase_auth.errors import AuthApiError, AuthError

from gateway_project.sandbox.supabase import LEGACY_SECRET, PUBLISHABLE_KEY, SECRET_KEY
from tests.conftest import RunningSupabase

_PASSWORD = "correct horse"


def _legacy_key(role: str) -> str:
    return jwt.encode({"iss": "supabase", "role": role}, LEGACY_SECRET, "HS256")


Connect = Callable[[str], client_library.Client]


@pytest.fixture
def connect(supabase: RunningSupabase) -> Iterator[Connect]:
    with ExitStack() as stack:

        def connect(key: str) -> client_library.Client:
            options = client_library.ClientOptions(auto_refresh_token=False)
            client = client_library.create_client(supabase.url, key, options)
            stack.callback(client.auth.close)
            return client

        yield connect


@pytest.fixture(params=[PUBLISHABLE_KEY, _legacy_key("anon")], ids=["publishable", "legacy"])
def client(connect: Connect, request: pytest.FixtureRequest) -> client_library.Client:
    return connect(request.param)


@pytest.fixture(params=[SECRET_KEY, _legacy_key("service_role")], ids=["secret", "legacy"])
def admin(connect: Connect, request: pytest.FixtureRequest) -> client_library.Client:
    return connect(request.param)


@pytest.fixture
def alice(connect: Connect) -> client_library.Client:
    client = connect(PUBLISHABLE_KEY)
    client.auth.sign_up({"email": "Alice@example.com", "password": _PASSWORD})
    return client


def _user_id(client: client_library.Client) -> str:
    answer = client.auth.get_user()
    assert answer
    return answer.user.id


def test_signs_up_and_in(client: client_library.Client) -> None:
    new = client.auth.sign_up(
        {"email": "A@example.com", "password": _PASSWORD, "options": {"data": {"name": "A"}}}
    )
    assert new.user
    assert new.user.user_metadata["name"] == "A"
    again = client.auth.sign_in_with_password({"email": "a@example.com", "password": _PASSWORD})
    assert again.user
    assert (again.user.id, again.user.email) == (new.user.id, "a@example.com")
    claims = client.auth.get_claims()
    assert claims
    assert claims["claims"]["sub"] == new.user.id


def test_signs_in_without_an_account(client: client_library.Client) -> None:
    answer = client.auth.sign_in_anonymously()
    assert answer.user
    assert answer.user.is_anonymous
    assert answer.session
    claims = jwt.decode(answer.session.access_token, options={"verify_signature": False})
    assert (claims["role"], claims["is_anonymous"]) == ("authenticated", True)


def test_refreshes_a_session_once_for_each_token(alice: client_library.Client) -> None:
    before = alice.auth.get_session()
    assert before
    after = alice.auth.refresh_session().session
    assert after
    assert after.refresh_token != before.refresh_token
    with pytest.raises(AuthApiError, match="Refresh Token Not Found"):
        alice.auth.refresh_session(before.refresh_token)


def test_changes_own_metadata_and_password(alice: client_library.Client) -> None:
    changed = alice.auth.update_user({"data": {"colour": "red"}, "password": "another one"})
    assert changed.user.user_metadata["colour"] == "red"
    alice.auth.sign_in_with_password({"email": "alice@example.com", "password": "another one"})


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ({"email": "alice@example.com", "password": "wrong one"}, "invalid_credentials"),
        ({"email": "nobody@example.com", "password": _PASSWORD}, "invalid_credentials"),
    ],
)
def test_refuses_bad_credentials(
    alice: client_library.Client, credentials: dict[str, str], code: str
) -> None:
    with pytest.raises(AuthApiError) as caught:
        alice.auth.sign_in_with_password(credentials)  # type: ignore[arg-type]
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("email", "password", "code"),
    [
        ("alice@example.com", _PASSWORD, "user_already_exists"),
        ("bob@example.com", "x", "weak_password"),
    ],
)
def test_refuses_bad_sign_ups(
    alice: client_library.Client, email: str, password: str, code: str
) -> None:
    with pytest.raises(AuthError) as caught:
        alice.auth.sign_up({"email": email, "password": password})
    assert caught.value.code == code


def test_ends_sessions_by_scope(connect: Connect, alice: client_library.Client) -> None:
    other = connect(PUBLISHABLE_KEY)
    other.auth.sign_in_with_password({"email": "alice@example.com", "password": _PASSWORD})
    alice.auth.sign_out({"scope": "others"})
    assert _user_id(alice)
    with pytest.raises(AuthApiError) as caught:
        other.auth.get_user()
    assert caught.value.code == "session_not_found"


def test_lists_users_in_pages(admin: client_library.Client, supabase: RunningSupabase) -> None:
    for number in range(3):
        supabase.token(f"user{number}@example.com")
    first = admin.auth.admin.list_users(page=1, per_page=2)
    second = admin.auth.admin.list_users(page=2, per_page=2)
    assert [user.email for user in first + second] == [
        f"user{number}@example.com" for number in (2, 1, 0)
    ]
    raw = supabase.client.get(
        "/auth/v1/admin/users?per_page=2",
        headers={"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"},
    )
    assert raw.headers["x-total-count"] == "3"
    assert 'rel="next"' in raw.headers["link"]


def test_lists_users_whose_address_has_a_part(supabase: RunningSupabase) -> None:
    supabase.client.post("/_sandbox/users", json={"count": 12}).raise_for_status()
    answer = supabase.client.get(
        "/auth/v1/admin/users?filter=user1",
        headers={"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"},
    ).json()
    assert [user["email"][:6] for user in answer["users"]] == ["user11", "user10", "user1@"]


def test_keeps_an_unrecognisable_row_of_a_user_deleted_softly(
    admin: client_library.Client, alice: client_library.Client
) -> None:
    user_id = _user_id(alice)
    admin.auth.admin.delete_user(user_id, should_soft_delete=True)
    with pytest.raises(AuthApiError) as caught:
        alice.auth.get_user()
    assert caught.value.code == "session_not_found"
    left = admin.auth.admin.get_user_by_id(user_id).user
    assert "alice" not in str(left)


def test_takes_no_secret_key_from_a_browser(supabase: RunningSupabase) -> None:
    headers = {"apikey": SECRET_KEY, "user-agent": "Mozilla/5.0 (X11; Linux x86_64)"}
    assert supabase.client.get("/auth/v1/health", headers=headers).status_code == 401


def test_manages_users_with_the_service_key(admin: client_library.Client) -> None:
    wish = {"email": "c@example.com", "password": _PASSWORD, "app_metadata": {"tenant_id": "t1"}}
    made = admin.auth.admin.create_user(wish).user  # type: ignore[arg-type]
    assert made.app_metadata == {"provider": "email", "providers": ["email"], "tenant_id": "t1"}
    changed = admin.auth.admin.update_user_by_id(made.id, {"app_metadata": {"plan": "pro"}}).user
    assert changed.app_metadata["tenant_id"] == "t1"
    assert admin.auth.admin.get_user_by_id(made.id).user.app_metadata["plan"] == "pro"
    admin.auth.admin.delete_user(made.id)
    with pytest.raises(AuthApiError) as caught:
        admin.auth.admin.get_user_by_id(made.id)
    assert caught.value.code == "user_not_found"


def test_bans_for_a_time(
    admin: client_library.Client, alice: client_library.Client, supabase: RunningSupabase
) -> None:
    user_id = _user_id(alice)
    admin.auth.admin.update_user_by_id(user_id, {"ban_duration": "24h"})
    with pytest.raises(AuthApiError) as caught:
        alice.auth.get_user()
    assert caught.value.code == "user_banned"
    supabase.client.post("/_sandbox/clock", json={"offset": 25 * 3600})
    assert alice.auth.sign_in_with_password({"email": "alice@example.com", "password": _PASSWORD})


def test_refuses_admin_routes_to_users(alice: client_library.Client) -> None:
    session = alice.auth.get_session()
    assert session
    alice.auth.admin._headers["Authorization"] = f"Bearer {session.access_token}"
    with pytest.raises(AuthApiError) as caught:
        alice.auth.admin.list_users()
    assert caught.value.code == "not_admin"


def test_wants_an_api_key_except_for_the_public_keys(supabase: RunningSupabase) -> None:
    assert supabase.client.get("/auth/v1/health").status_code == 401
    health = supabase.client.get("/auth/v1/health", headers={"apikey": PUBLISHABLE_KEY})
    assert health.json()["name"] == "GoTrue"
    jwks = supabase.client.get("/auth/v1/.well-known/jwks.json")
    assert jwks.headers["cache-control"] == "public, max-age=600"
    assert not {"d", "p", "q"} & jwks.json()["keys"][0].keys()


async def test_serves_the_asynchronous_client(supabase: RunningSupabase) -> None:
    client = await client_library.acreate_client(supabase.url, PUBLISHABLE_KEY)
    answer = await client.auth.sign_up({"email": "async@example.com", "password": _PASSWORD})
    assert answer.session
    await client.auth.sign_out()
    with pytest.raises(AuthApiError) as caught:
        await client.auth.get_user(answer.session.access_token)
    assert caught.value.code == "session_not_found"
    await client.auth.close()
