from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Plan, User, UserPlan
from accounts.plans.services import save_plan, save_user_plan
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import CountExhausted, FieldInvalid, ModelNotAllowed
from llm_proxy.api_keys import services
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.api_keys.services import Traits

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE = 8


@pytest.fixture(autouse=True)
def _remember_nothing() -> Iterator[None]:
    cache.clear_all()
    yield
    cache.clear_all()


@pytest.fixture
def alice() -> User:
    return User.objects.create(pk=uuid4(), email="alice@example.com")


def allow(**limits: Any) -> None:
    plan = Plan.objects.get(is_default=True)
    for name, value in limits.items():
        setattr(plan, name, value)
    save_plan(plan=plan, by=None)


def make(user: User, **traits: Any) -> ApiKey:
    wish: Traits = {"name": "cron", "scopes": ["llm"], **traits}  # type: ignore[typeddict-item]
    return services.create_api_key(user=user, traits=wish).key


def test_a_user_has_as_many_keys_as_their_plan_allows(alice: User) -> None:
    allow(max_api_keys=2)
    make(alice)
    make(alice)
    with pytest.raises(CountExhausted, match="allows 2 API keys") as caught:
        make(alice)

    assert caught.value.code == "quota_count_exhausted"
    assert ApiKey.objects.count() == 2
    assert AuditEvent.objects.filter(action="api_key.create").count() == 2
    make(User.objects.create(pk=uuid4()))  # others have their own number


def test_a_user_without_that_limit_has_any_number(alice: User) -> None:
    allow(max_api_keys=1)
    save_user_plan(user_plan=UserPlan(user=alice, unlimited=["max_api_keys"]), by=None)
    make(alice)
    make(alice)


def test_dead_keys_do_not_count(alice: User) -> None:
    allow(max_api_keys=2)
    services.revoke_api_key(key_id=make(alice).pk, by=alice)
    expired = make(alice, expires_at=timezone.now() + timedelta(days=1))
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())

    make(alice)
    make(alice)


def test_requests_at_once_do_not_get_past_the_number(alice: User) -> None:
    allow(max_api_keys=3)
    barrier = threading.Barrier(AT_ONCE)

    def attempt(_: int) -> bool:
        barrier.wait()
        try:
            make(alice)
        except CountExhausted:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(attempt, range(AT_ONCE)))

    assert sum(made) == 3
    assert ApiKey.objects.count() == 3


@pytest.mark.parametrize("models", [["openai/gpt-5"], ["openai/*"], ["gpt-4o", "openai/gpt-*"], []])
def test_a_key_may_have_what_the_plan_has(alice: User, models: list[str]) -> None:
    allow(allowed_models=["openai/*", "gpt-4o"])

    assert make(alice, allowed_models=models).allowed_models == models


@pytest.mark.parametrize("models", [["anthropic/claude"], ["gpt-4o", "*"], ["openai*"], ["gpt-*"]])
def test_a_key_may_have_nothing_else(alice: User, models: list[str]) -> None:
    allow(allowed_models=["openai/*", "gpt-4o"])
    with pytest.raises(ModelNotAllowed):
        make(alice, allowed_models=models)
    key = make(alice)
    with pytest.raises(ModelNotAllowed):
        services.update_api_key(key_id=key.pk, by=alice, traits={"allowed_models": models})

    key.refresh_from_db()
    assert key.allowed_models == []


def test_a_plan_that_has_narrowed_stops_no_other_change(alice: User) -> None:
    key = make(alice, allowed_models=["gpt-4o"])
    allow(allowed_models=["openai/*"])
    services.update_api_key(
        key_id=key.pk, by=alice, traits={"name": "other", "allowed_models": ["gpt-4o"]}
    )

    assert ApiKey.objects.get().name == "other"


@pytest.mark.parametrize(
    ("traits", "param"),
    [
        ({"name": " "}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"budget": 0}, "/budget"),
        ({"expires_at": timezone.now()}, "/expires_at"),
    ],
)
def test_a_key_is_something(alice: User, traits: dict[str, Any], param: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        make(alice, **traits)

    assert caught.value.param == param


def test_nothing_is_recorded_of_what_changes_nothing(alice: User) -> None:
    key = make(alice)
    services.update_api_key(key_id=key.pk, by=alice, traits={"name": "cron", "scopes": ["llm"]})

    assert not AuditEvent.objects.filter(action="api_key.update").exists()


def test_the_secret_is_in_no_description(alice: User) -> None:
    issued = services.create_api_key(user=alice, traits={"name": "cron", "scopes": ["llm"]})

    assert issued.secret not in repr(issued) + str(issued.key) + repr(issued.key)
