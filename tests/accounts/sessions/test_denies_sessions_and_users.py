from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from accounts.principals import memory, proving
from accounts.principals.identify import identify_token, identify_token_sync
from accounts.principals.principal import Principal, Proof, Scheme
from accounts.sessions import services
from accounts.sessions.models import Denial, DenialReason
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import AccountSuspended, Code, GatewayError, TokenRejected
from tests.accounts.sessions.conftest import SignIn, Visit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("root", email="root@example.com")


def refusal(visit: Visit) -> GatewayError | None:
    try:
        identify_token_sync(visit.token)
    except GatewayError as error:
        return error
    return None


def test_ends_one_session_and_no_other(sign_in: SignIn, staff: User) -> None:
    here, there, bob = sign_in(), sign_in(), sign_in("bob@example.com")
    assert [refusal(visit) for visit in (here, there, bob)] == [None] * 3
    services.deny_session(session_id=here.session_id, user_id=here.user_id, by=staff)
    error = refusal(here)
    assert isinstance(error, TokenRejected)
    assert (error.status, error.code) == (401, Code.CALLER_TOKEN_REVOKED)
    assert "Sign in again" in error.detail
    assert [refusal(visit) for visit in (there, bob)] == [None] * 2


def test_ends_every_session_of_a_user_and_nobody_else_s(sign_in: SignIn, staff: User) -> None:
    here, there, bob = sign_in(), sign_in(), sign_in("bob@example.com")
    assert refusal(here) is None
    services.deny_user(user_id=here.user_id, by=staff)
    for visit in (here, there, sign_in()):
        error = refusal(visit)
        assert isinstance(error, AccountSuspended)
        assert (error.status, error.code) == (403, Code.POLICY_ACCOUNT_SUSPENDED)
    assert refusal(bob) is None


async def test_is_heeded_on_the_data_plane_too(sign_in: SignIn) -> None:
    visit = sign_in()
    await identify_token(visit.token)
    await database_sync_to_async(services.deny_user)(user_id=visit.user_id, by=None)
    with pytest.raises(AccountSuspended):
        await identify_token(visit.token)


def test_takes_no_session_of_somebody_else_s(sign_in: SignIn, staff: User) -> None:
    alice, bob = sign_in(), sign_in("bob@example.com")
    services.deny_session(session_id=alice.session_id, user_id=bob.user_id, by=staff)
    assert [refusal(alice), refusal(bob)] == [None, None]


def test_refuses_other_kinds_of_tokens_of_a_denied_user_too(
    sign_in: SignIn, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = sign_in()
    proof = Proof(
        principal=Principal(
            user_id=visit.user_id,
            email="",
            is_anonymous=False,
            scheme=Scheme.API_KEY,
            expires_at=time.time() + 60,
        )
    )
    monkeypatch.setattr(proving, "_provers", {b"tst_": lambda _token: proof})
    services.deny_session(session_id=visit.session_id, user_id=visit.user_id, by=staff)
    assert identify_token_sync(b"tst_key") is proof.principal
    services.deny_user(user_id=visit.user_id, by=staff)
    with pytest.raises(AccountSuspended):
        identify_token_sync(b"tst_key")
    cache.clear_all()
    with pytest.raises(AccountSuspended):
        identify_token_sync(b"tst_key")


def test_lets_in_again_whom_it_allows(sign_in: SignIn, staff: User) -> None:
    visit = sign_in()
    of_session = services.deny_session(session_id=visit.session_id, user_id=visit.user_id, by=staff)
    of_user = services.deny_user(user_id=visit.user_id, by=staff)
    assert isinstance(refusal(visit), AccountSuspended)
    assert services.allow(denial=of_user, by=staff)
    assert isinstance(refusal(visit), TokenRejected)
    assert services.allow(denial=of_session, by=staff)
    assert refusal(visit) is None
    assert not services.allow(denial=of_session, by=staff)


def test_lifts_for_one_reason_only_what_was_denied_for_it(sign_in: SignIn, staff: User) -> None:
    visit = sign_in()
    services.deny_user(user_id=visit.user_id, reason=DenialReason.BANNED, by=None)
    services.deny_user(user_id=visit.user_id, by=staff)
    assert services.allow_user(user_id=visit.user_id, reason=DenialReason.BANNED, by=None)
    assert not services.allow_user(user_id=visit.user_id, reason=DenialReason.BANNED, by=None)
    assert isinstance(refusal(visit), AccountSuspended)


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        (DenialReason.STAFF, "policy_account_suspended", "suspended"),
        (DenialReason.BANNED, "policy_account_suspended", "sign-in service has banned"),
        (DenialReason.GONE, "caller_token_revoked", "no longer exists"),
        (DenialReason.ERASED, "caller_token_revoked", "erased. Contact support"),
    ],
)
def test_says_why(reason: DenialReason, code: str, words: str, sign_in: SignIn) -> None:
    visit = sign_in()
    services.deny_user(user_id=visit.user_id, reason=reason, by=None)
    error = refusal(visit)
    assert error is not None
    assert error.code == code
    assert words in error.detail


def test_says_until_when(sign_in: SignIn, staff: User) -> None:
    visit = sign_in()
    until = timezone.now() + timedelta(days=1)
    services.deny_user(user_id=visit.user_id, until=until, note="spam from this one", by=staff)
    error = refusal(visit)
    assert error is not None
    assert f"{until:%Y-%m-%d %H:%M}" in error.detail
    assert "spam" not in error.detail


def test_is_over_when_its_time_is_over(
    sign_in: SignIn, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = sign_in()
    until = timezone.now() + timedelta(seconds=100)
    services.deny_user(user_id=visit.user_id, until=until, by=staff)
    assert isinstance(refusal(visit), AccountSuspended)
    late, usual = timedelta(seconds=101), timezone.now
    now = time.monotonic()
    monkeypatch.setattr(timezone, "now", lambda: usual() + late)
    monkeypatch.setattr(memory._cache, "_clock", lambda: now + 101)
    assert refusal(visit) is None


def test_forgets_what_has_expired(sign_in: SignIn, staff: User) -> None:
    visit = sign_in()
    over = timezone.now() - timedelta(seconds=1)
    services.deny_session(session_id=visit.session_id, user_id=visit.user_id, until=over, by=staff)
    assert refusal(visit) is None
    services.deny_user(user_id=uuid4(), by=staff)
    assert not Denial.objects.filter(session_id=visit.session_id).exists()


def test_makes_no_user_of_a_token_that_is_denied(sign_in: SignIn) -> None:
    visit = sign_in()
    services.deny_user(user_id=visit.user_id, reason=DenialReason.GONE, by=None)
    assert refusal(visit) is not None
    assert not User.objects.filter(pk=visit.user_id).exists()


def test_outlives_the_user(sign_in: SignIn) -> None:
    visit = sign_in()
    assert refusal(visit) is None
    services.deny_user(user_id=visit.user_id, reason=DenialReason.GONE, by=None)
    User.objects.filter(pk=visit.user_id).delete()
    cache.clear_all()
    assert refusal(visit) is not None


def test_asks_the_database_no_second_time_about_whom_it_denies(
    sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries, settings: Any
) -> None:
    settings.REDIS_URL = ""  # or a gateway in this process hears of it, and forgets, a bit later
    visit = sign_in()
    services.deny_session(session_id=visit.session_id, user_id=visit.user_id, by=None)
    with django_assert_num_queries(1):
        refusal(visit)
    with django_assert_num_queries(0):
        assert refusal(visit) is not None


def test_records_who_denied_and_allowed_whom(sign_in: SignIn, staff: User) -> None:
    visit = sign_in()
    until = timezone.now() + timedelta(days=1)
    one = services.deny_user(user_id=visit.user_id, until=until, note="spam", by=staff)
    other = services.deny_session(session_id=visit.session_id, user_id=visit.user_id, by=None)
    services.allow(denial=one, by=staff)
    services.allow(denial=other, by=staff)
    events = list(AuditEvent.objects.order_by("id"))
    assert [(event.action, event.user_email) for event in events] == [
        ("user.deny", "root@example.com"),
        ("session.deny", ""),
        ("user.allow", "root@example.com"),
        ("session.allow", "root@example.com"),
    ]
    assert {event.resource for event in events} == {f"user:{visit.user_id}"}
    assert events[0].facts == {"reason": "staff", "note": "spam", "until": until.isoformat()}
    assert events[1].facts["session_id"] == str(visit.session_id)


def test_tells_other_processes_only_after_the_commit(
    sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(cache, "invalidate", lambda *subject: told.append(subject))
    visit = sign_in()
    with transaction.atomic():
        services.deny_user(user_id=visit.user_id, by=None)
        assert told == []
    assert told == [(memory.INVALIDATION_SUBJECT, str(visit.user_id))]


def test_denies_once_when_many_deny_at_once() -> None:
    user_id, session_id = uuid4(), uuid4()
    barrier = threading.Barrier(10)

    def deny(number: int) -> UUID:
        barrier.wait(10)
        try:
            if number % 2:
                return services.deny_user(user_id=user_id, by=None).user_id
            return services.deny_session(session_id=session_id, user_id=user_id, by=None).user_id
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(deny, range(10))) == {user_id}
    assert Denial.objects.count() == 2
