from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import conf, services
from accounts.models import User
from accounts.principals import memory, proving
from accounts.principals.identify import identify, identify_token_sync
from accounts.principals.principal import Principal, Scheme
from gateway_core import cache
from gateway_core.errors import AccountSuspended, Code, DatabaseUnavailable, TokenRejected
from tests.accounts.key_server import KeyServer, wait_for_fetch
from tests.accounts.mint import Signer, new_signer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sign_in_service")]


def bearer(token: bytes) -> bytes:
    return b"Bearer " + token


@database_sync_to_async
def stored(**lookup: Any) -> User:
    return User.objects.get(**lookup)


@database_sync_to_async
def shut_out(user_id: UUID) -> None:
    """What another process does: this one is not told."""
    User.objects.filter(pk=user_id).update(is_active=False)


@database_sync_to_async
def count_users() -> int:
    return User.objects.count()


async def test_says_who_a_token_is_and_makes_the_user_at_first_sight(signer: Signer) -> None:
    me, session = uuid4(), uuid4()
    expires_at = int(time.time()) + 600
    token = signer.token(sub=str(me), session_id=str(session), exp=expires_at)
    principal = await identify(bearer(token))
    assert principal == Principal(
        user_id=me,
        email="alice@example.com",
        is_anonymous=False,
        scheme=Scheme.SUPABASE,
        expires_at=expires_at + 30,
        session_id=session,
        scopes=None,
    )
    user = await stored()
    assert (user.pk, user.email, user.username) == (me, "alice@example.com", None)
    assert (user.is_active, user.is_staff, user.is_superuser) == (True, False, False)
    assert not user.has_usable_password()


async def test_knows_an_anonymous_user_until_they_sign_up(signer: Signer) -> None:
    me, now = uuid4(), int(time.time())
    before = signer.token(sub=str(me), is_anonymous=True, email="", iat=now - 60)
    assert (await identify(bearer(before))).is_anonymous
    after = await identify(bearer(signer.token(sub=str(me), iat=now)))
    assert (after.is_anonymous, after.email) == (False, "alice@example.com")


async def test_takes_over_a_newer_e_mail_and_never_an_older_one(signer: Signer) -> None:
    me, now = uuid4(), int(time.time())

    async def seen(email: str, seconds_ago: int) -> str:
        token = signer.token(sub=str(me), email=email, iat=now - seconds_ago)
        return (await identify(bearer(token))).email

    assert await seen("first@example.com", 100) == "first@example.com"
    assert await seen("second@example.com", 50) == "second@example.com"
    assert await seen("first@example.com", 99) == "second@example.com"
    assert await seen("third@example.com", 50) == "second@example.com"
    assert await seen("third@example.com", 10) == "third@example.com"
    user = await stored(pk=me)
    assert user.email == "third@example.com"
    assert user.claims_issued_at == datetime.fromtimestamp(now - 10, UTC)


async def test_two_users_of_one_e_mail_stay_two(signer: Signer) -> None:
    one, other = [await identify(bearer(signer.token(sub=str(uuid4())))) for _ in range(2)]
    assert one.user_id != other.user_id
    assert one.email == other.email


def test_asks_the_database_only_about_a_token_it_does_not_know(
    signer: Signer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    me = str(uuid4())
    token = signer.token(sub=me)
    identify_token_sync(token)
    with django_assert_num_queries(0):
        assert identify_token_sync(token) is identify_token_sync(token)
    with django_assert_num_queries(2):  # the deny-list and the user
        identify_token_sync(signer.token(sub=me))


async def test_both_planes_share_what_is_remembered(signer: Signer) -> None:
    token = signer.token()
    principal = await identify(bearer(token))
    assert identify_token_sync(token) is principal


async def test_proves_a_remembered_token_no_second_time(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signer.token()
    principal = await identify(bearer(token))
    monkeypatch.delattr("accounts.tokens.verify.TokenVerifier._prove")
    assert await identify(bearer(token)) is principal


@pytest.mark.parametrize(("exp", "remembered"), [(600, 300), (100, 130)])
async def test_remembers_a_token_no_longer_than_it_lives_nor_than_is_set(
    exp: int, remembered: int, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signer.token(exp=int(time.time()) + exp)
    principal = await identify(bearer(token))
    now = time.monotonic()
    monkeypatch.setattr(memory._cache, "_clock", lambda: now + remembered - 2)
    assert await identify(bearer(token)) is principal
    monkeypatch.setattr(memory._cache, "_clock", lambda: now + remembered + 1)
    assert await identify(bearer(token)) is not principal


async def test_refuses_a_remembered_token_once_its_key_is_revoked(
    signer: Signer, sign_in_service: KeyServer
) -> None:
    token = signer.token()
    await identify(bearer(token))
    store = conf.verifier().store
    assert store is not None
    sign_in_service.publish(new_signer())
    store._refresh_at = 0
    await identify(bearer(token))
    wait_for_fetch(store)
    with pytest.raises(TokenRejected):
        await identify(bearer(token))


async def test_judges_a_remembered_token_anew_under_other_settings(
    signer: Signer, settings: Settings
) -> None:
    token = signer.token()
    await identify(bearer(token))
    settings.SUPABASE_AUDIENCE = "another-audience"
    with pytest.raises(TokenRejected):
        await identify(bearer(token))


async def test_reads_the_user_again_once_they_are_forgotten(signer: Signer) -> None:
    token, other = signer.token(), signer.token()
    principal, untouched = await identify(bearer(token)), await identify(bearer(other))
    await shut_out(principal.user_id)
    assert await identify(bearer(token)) is principal
    cache.invalidate(memory.INVALIDATION_SUBJECT, str(principal.user_id))
    with pytest.raises(AccountSuspended) as refusal:
        await identify(bearer(token))
    assert (refusal.value.status, refusal.value.code) == (403, Code.POLICY_ACCOUNT_SUSPENDED)
    assert await identify(bearer(other)) is untouched


def test_asks_the_database_no_second_time_about_a_suspended_user(
    signer: Signer, django_assert_num_queries: DjangoAssertNumQueries, settings: Any
) -> None:
    settings.REDIS_URL = ""  # or a gateway in this process hears of it, and forgets, a bit later
    token = signer.token()
    staff = User.objects.create_superuser("root")
    services.suspend_user(user_id=identify_token_sync(token).user_id, by=staff)
    with pytest.raises(AccountSuspended):
        identify_token_sync(token)
    with django_assert_num_queries(0), pytest.raises(AccountSuspended):
        identify_token_sync(token)


async def test_remembers_nothing_that_was_read_before_a_user_was_forgotten(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signer.token()
    recognised = proving._recognised_in_thread

    async def recognise_and_lose_the_race(*arguments: Any) -> Any:
        proof = await recognised(*arguments)
        await shut_out(proof.principal.user_id)
        memory.forget_user(proof.principal.user_id)
        return proof

    monkeypatch.setattr(proving, "_recognised_in_thread", recognise_and_lose_the_race)
    assert await identify(bearer(token))
    monkeypatch.undo()
    with pytest.raises(AccountSuspended):
        await identify(bearer(token))


async def test_says_try_again_when_the_database_is_down(
    signer: Signer, database_down: None
) -> None:
    del database_down
    with pytest.raises(DatabaseUnavailable) as refusal:
        await identify(bearer(signer.token()))
    assert (refusal.value.status, refusal.value.retryable) == (503, True)


def test_says_try_again_on_the_control_plane_too(signer: Signer, database_down: None) -> None:
    del database_down
    with pytest.raises(DatabaseUnavailable):
        identify_token_sync(signer.token())


def test_still_knows_whom_it_remembers_when_the_database_is_down(
    signer: Signer, request: pytest.FixtureRequest
) -> None:
    token = signer.token()
    principal = identify_token_sync(token)
    request.getfixturevalue("database_down")
    assert identify_token_sync(token) is principal


async def test_asks_the_database_nothing_about_a_bad_token(
    signer: Signer, database_down: None
) -> None:
    del database_down
    with pytest.raises(TokenRejected):
        await identify(bearer(new_signer(kid=signer.kid).token()))


@pytest.mark.parametrize("header", [None, b"", b"Basic abc", b"Bearer gwk_unknown"])
async def test_refuses_what_carries_no_token(header: bytes | None) -> None:
    with pytest.raises(TokenRejected):
        await identify(header)
    assert await count_users() == 0


def test_shows_nobody_s_token(signer: Signer) -> None:
    token = signer.token()
    principal = identify_token_sync(token)
    assert token.decode().split(".")[2] not in repr(principal) + repr(memory._cache.__dict__)
