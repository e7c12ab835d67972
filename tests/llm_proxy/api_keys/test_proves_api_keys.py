from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from accounts.principals.identify import identify_token_sync
from accounts.principals.principal import Scheme
from accounts.services import suspend_user
from gateway_core import cache
from gateway_core.errors import AccountSuspended, TokenRejected
from llm_proxy.api_keys import services
from llm_proxy.api_keys.models import ApiKey, State
from llm_proxy.api_keys.prover import prove
from llm_proxy.api_keys.secret import new_secret
from llm_proxy.api_keys.services import Issued

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _remember_nothing() -> Iterator[None]:
    cache.clear_all()
    yield
    cache.clear_all()


@pytest.fixture
def alice() -> User:
    return User.objects.create(pk=uuid4(), email="alice@example.com")


@pytest.fixture
def issued(alice: User) -> Issued:
    return services.create_api_key(user=alice, traits={"name": "cron", "scopes": ["llm"]})


def shift(issued: Issued, **columns: Any) -> None:
    """Move the times of a key, as if they had passed."""
    ApiKey.objects.filter(pk=issued.key.pk).update(**columns)
    cache.clear_all()


def refusal(secret: str) -> str:
    with pytest.raises(TokenRejected) as caught:
        identify_token_sync(secret.encode())
    assert secret not in str(caught.value)
    return str(caught.value.code)


def test_stands_for_its_owner_within_its_scopes(alice: User, issued: Issued) -> None:
    principal = identify_token_sync(issued.secret.encode())

    assert (principal.user_id, principal.email) == (alice.pk, "alice@example.com")
    assert principal.scheme is Scheme.API_KEY
    assert principal.api_key_id == issued.key.pk
    assert principal.scopes == frozenset({"llm"})
    assert principal.expires_at == math.inf


def test_is_remembered(issued: Issued, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(2):  # the key with its user, and the deny-list
        identify_token_sync(issued.secret.encode())
    with django_assert_num_queries(0):
        identify_token_sync(issued.secret.encode())


def test_lasts_until_it_expires(alice: User) -> None:
    ends = timezone.now() + timedelta(seconds=50)
    issued = services.create_api_key(
        user=alice, traits={"name": "short", "scopes": ["llm"], "expires_at": ends}
    )
    assert identify_token_sync(issued.secret.encode()).expires_at == ends.timestamp()

    shift(issued, expires_at=timezone.now())
    assert refusal(issued.secret) == "caller_token_expired"


def test_is_over_at_once_when_revoked(alice: User, issued: Issued) -> None:
    identify_token_sync(issued.secret.encode())
    services.revoke_api_key(key_id=issued.key.pk, by=alice)

    assert refusal(issued.secret) == "caller_token_invalid"


@pytest.mark.parametrize(
    ("expired", "state", "code"),
    [(True, "expired", "caller_token_expired"), (False, "revoked", "caller_token_invalid")],
)
def test_says_of_a_key_that_is_expired_and_revoked_what_came_first(
    alice: User, issued: Issued, *, expired: bool, state: str, code: str
) -> None:
    now = timezone.now()
    if expired:
        shift(issued, expires_at=now)
    services.revoke_api_key(key_id=issued.key.pk, by=alice)
    if not expired:
        shift(issued, expires_at=timezone.now())

    assert refusal(issued.secret) == code
    assert ApiKey.objects.get().state(timezone.now()) == state
    for one in State:
        assert ApiKey.objects.in_state(one, timezone.now()).exists() is (one == state)


def test_both_secrets_work_for_a_while_when_rotated(alice: User, issued: Issued) -> None:
    identify_token_sync(issued.secret.encode())
    began = time.time()
    second = services.rotate_api_key(key_id=issued.key.pk, by=alice, overlap_seconds=60)

    old, new = (identify_token_sync(one.secret.encode()) for one in (issued, second))
    assert old.api_key_id == new.api_key_id == issued.key.pk
    assert 59 < old.expires_at - began < 61
    assert new.expires_at == math.inf

    shift(issued, previous_valid_until=timezone.now())
    assert refusal(issued.secret) == "caller_token_expired"
    assert identify_token_sync(second.secret.encode()).user_id == alice.pk


def test_an_old_secret_outlives_its_key_by_nothing(alice: User, issued: Issued) -> None:
    services.rotate_api_key(key_id=issued.key.pk, by=alice, overlap_seconds=3600)
    ends = timezone.now() + timedelta(seconds=9)
    shift(issued, expires_at=ends)

    assert identify_token_sync(issued.secret.encode()).expires_at == ends.timestamp()


def test_the_old_secret_is_over_at_once_when_rotated_without_overlap(
    alice: User, issued: Issued
) -> None:
    identify_token_sync(issued.secret.encode())
    second = services.rotate_api_key(key_id=issued.key.pk, by=alice, overlap_seconds=0)

    assert refusal(issued.secret) == "caller_token_expired"
    assert identify_token_sync(second.secret.encode()).user_id == alice.pk


def test_no_more_than_two_secrets_work_at_a_time(alice: User, issued: Issued) -> None:
    second = services.rotate_api_key(key_id=issued.key.pk, by=alice)
    third = services.rotate_api_key(key_id=issued.key.pk, by=alice)

    assert refusal(issued.secret) == "caller_token_invalid"
    for one in (second, third):
        assert identify_token_sync(one.secret.encode()).user_id == alice.pk


def test_does_not_let_a_suspended_user_in(alice: User, issued: Issued) -> None:
    identify_token_sync(issued.secret.encode())
    suspend_user(user_id=alice.pk, by=User.objects.create_superuser("root"))

    with pytest.raises(AccountSuspended):
        identify_token_sync(issued.secret.encode())


def test_does_not_outlive_its_user(alice: User, issued: Issued) -> None:
    alice.delete()

    assert refusal(issued.secret) == "caller_token_invalid"


def test_what_can_not_be_a_key_is_refused_without_a_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    mistyped = new_secret()[:-1] + "-"
    with django_assert_num_queries(0):
        assert refusal(mistyped) == refusal("gwk_") == "caller_token_invalid"


def test_a_dead_key_is_looked_up_once(
    alice: User, issued: Issued, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    services.revoke_api_key(key_id=issued.key.pk, by=alice)
    unknown = new_secret()
    for dead in (issued.secret, unknown):
        with django_assert_num_queries(1):
            first = refusal(dead)
        with django_assert_num_queries(0):
            assert refusal(dead) == first


def test_knows_no_secret_by_its_hash(issued: Issued) -> None:
    with pytest.raises(TokenRejected):
        prove(issued.key.secret_hash.encode())
