from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID, uuid4

import orjson
import pytest
import redis
from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.models import Plan, User, UserPlan
from accounts.plans import services
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import ResourceConflict

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    cache.clear_all()
    yield
    cache.clear_all()


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("root", email="root@example.com")


@pytest.fixture
def alice() -> UUID:
    return User.objects.create(pk=uuid4(), email="alice@example.com").pk


@pytest.fixture
def bob() -> UUID:
    return User.objects.create(pk=uuid4(), email="bob@example.com").pk


@pytest.fixture
def heard() -> Iterator[list[list[str]]]:
    """What other processes are told, oldest first."""
    with (
        redis.Redis.from_url(settings.REDIS_URL) as client,
        client.pubsub(ignore_subscribe_messages=True) as channel,
    ):
        channel.subscribe("gateway:invalidate")
        channel.get_message(timeout=1)
        messages: list[list[str]] = []
        yield messages
        while message := channel.get_message(timeout=0.05):
            messages.append(orjson.loads(message["data"]))
        expected = messages.pop(0)
        assert expected in messages


def budgets(*user_ids: UUID) -> list[Decimal | None]:
    return [services.limits_for(user_id).budget for user_id in user_ids]


def put_on_plan(*, user_id: UUID, plan: Plan | None, by: User) -> None:
    """Put a user on a plan as the admin does: their own limits stay."""
    user_plan = UserPlan.objects.filter(pk=user_id).first() or UserPlan(user_id=user_id)
    user_plan.plan = plan
    services.save_user_plan(user_plan=user_plan, by=by)


def event() -> tuple[str, UUID | None, str, list[str]]:
    found = AuditEvent.objects.get()
    return found.action, found.user_id, found.resource, found.facts["changes"]


def test_a_changed_plan_holds_at_once_for_everybody_on_it(
    alice: UUID, bob: UUID, staff: User
) -> None:
    put_on_plan(user_id=bob, plan=Plan.objects.create(name="Team"), by=staff)
    assert budgets(alice, bob) == [10, None]
    plan = Plan.objects.get(is_default=True)
    plan.budget = Decimal(3)
    services.save_plan(plan=plan, by=staff)
    assert budgets(alice, bob) == [3, None]


def test_a_user_put_on_a_plan_has_its_limits_at_once_and_keeps_their_own(
    alice: UUID, staff: User
) -> None:
    services.save_user_plan(user_plan=UserPlan(user_id=alice, requests_per_minute=5), by=staff)
    assert services.limits_for(alice).budget == 10
    team = Plan.objects.create(name="Team", budget=99, requests_per_minute=60)
    put_on_plan(user_id=alice, plan=team, by=staff)
    limits = services.limits_for(alice)
    assert (limits.budget, limits.requests_per_minute) == (Decimal(99), 5)
    put_on_plan(user_id=alice, plan=None, by=staff)
    assert services.limits_for(alice).budget == 10


def test_tells_other_processes_of_everybody_when_a_plan_changes(
    heard: list[list[str]], staff: User
) -> None:
    heard.append(["limits", "*"])
    services.save_plan(plan=Plan(name="Team"), by=staff)


def test_tells_other_processes_of_the_one_user_whose_limits_change(
    heard: list[list[str]], alice: UUID, staff: User
) -> None:
    heard.append(["limits", str(alice)])
    services.save_user_plan(user_plan=UserPlan(user_id=alice, budget=1), by=staff)


def test_tells_whoever_asked_of_the_user_whose_limits_change(
    alice: UUID, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[UUID] = []
    monkeypatch.setattr(services, "when_user_changes", [told.append])
    services.save_user_plan(user_plan=UserPlan(user_id=alice, budget=1), by=staff)
    assert told == [alice]


def test_a_limit_that_is_given_and_taken_away_is_not_saved(alice: UUID, staff: User) -> None:
    own = UserPlan(user_id=alice, max_agents=0, unlimited=["max_agents"])
    with pytest.raises(ValidationError):
        services.save_user_plan(user_plan=own, by=staff)
    with pytest.raises(ValidationError):
        services.save_user_plan(user_plan=UserPlan(user_id=alice, unlimited=["sleep"]), by=staff)
    assert not UserPlan.objects.exists()


def test_a_new_default_takes_the_place_of_the_old_one(staff: User) -> None:
    services.save_plan(plan=Plan(name="Free", is_default=True), by=staff)
    assert [plan.name for plan in Plan.objects.filter(is_default=True)] == ["Free"]


def test_there_is_always_a_default(staff: User) -> None:
    plan = Plan.objects.get(is_default=True)
    plan.is_default = False
    with pytest.raises(ResourceConflict):
        services.save_plan(plan=plan, by=staff)
    with pytest.raises(ResourceConflict):
        services.delete_plan(plan=plan, by=staff)
    assert Plan.objects.get().is_default
    assert not AuditEvent.objects.exists()


def test_a_plan_that_users_are_on_is_not_deleted(alice: UUID, staff: User) -> None:
    team = Plan.objects.create(name="Team")
    put_on_plan(user_id=alice, plan=team, by=staff)
    with pytest.raises(ResourceConflict):
        services.delete_plan(plan=team, by=staff)
    put_on_plan(user_id=alice, plan=None, by=staff)
    services.delete_plan(plan=team, by=staff)
    assert not Plan.objects.filter(name="Team").exists()


def test_records_who_changed_what_of_a_plan(staff: User) -> None:
    plan = Plan.objects.get(is_default=True)
    plan.budget, plan.allowed_models, plan.max_api_keys = None, ["openai/*", "emb"], 5
    services.save_plan(plan=plan, by=staff)
    assert event() == (
        "plan.change",
        staff.pk,
        f"plan:{plan.pk}",
        [
            "budget: 10.0000 -> none",
            "allowed_models: none -> openai/* emb",
            "max_api_keys: 20 -> 5",
        ],
    )


def test_records_who_changed_what_for_a_user(alice: UUID, staff: User) -> None:
    put_on_plan(user_id=alice, plan=Plan.objects.get(), by=staff)
    assert event() == (
        "user_plan.change",
        staff.pk,
        f"user:{alice}",
        ["plan: none -> Default"],
    )


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": "Default"},
        {"budget": Decimal(-1)},
        {"budget_period": "2d"},
        {"allowed_models": ["a,b"]},
        {"allowed_models": ["what?"]},
        {"allowed_models": [""]},
    ],
)
def test_a_plan_that_can_not_be_is_not_saved(values: dict[str, object], staff: User) -> None:
    with pytest.raises(ValidationError):
        services.save_plan(plan=Plan(**{"name": "New", **values}), by=staff)
    assert Plan.objects.count() == 1
