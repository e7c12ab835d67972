from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import Plan, User, UserPlan
from accounts.plans.limits import Limits, covers
from accounts.plans.models import LimitFields, Unlimited
from accounts.plans.services import alimits_for, limits_for, limits_of
from gateway_core import cache
from gateway_core.rates import RateClass


@pytest.fixture
def user_id(transactional_db: None) -> Iterator[UUID]:
    del transactional_db
    cache.clear_all()
    yield User.objects.create(pk=uuid4(), email="alice@example.com").pk
    cache.clear_all()


def test_a_new_user_is_on_the_plan_that_is_shipped(user_id: UUID) -> None:
    assert limits_for(user_id) == Limits(
        budget=Decimal(10),
        budget_period="30d",
        allowed_models=(),
        requests_per_minute=None,
        tokens_per_minute=None,
        max_parallel_calls=None,
        max_agents=100,
        max_api_keys=20,
    )


def test_a_user_has_the_limits_of_the_plan_with_their_own_on_top(user_id: UUID) -> None:
    plan = Plan.objects.create(
        name="Team",
        budget=50,
        budget_period="7d",
        allowed_models=["openai/*"],
        requests_per_minute=60,
        max_api_keys=3,
    )
    UserPlan.objects.create(user_id=user_id, plan=plan, budget=5, tokens_per_minute=0)
    assert limits_for(user_id) == Limits(
        budget=Decimal(5),
        budget_period="7d",
        allowed_models=("openai/*",),
        requests_per_minute=60,
        tokens_per_minute=0,
        max_parallel_calls=None,
        max_agents=None,
        max_api_keys=3,
    )


def test_a_user_may_have_own_limits_on_the_default_plan(user_id: UUID) -> None:
    UserPlan.objects.create(user_id=user_id, allowed_models=["gpt-4o"], budget=0)
    limits = limits_for(user_id)
    assert (limits.allowed_models, limits.budget) == (("gpt-4o",), Decimal(0))


def test_a_user_may_have_another_period_and_other_counts_of_keys(user_id: UUID) -> None:
    UserPlan.objects.create(user_id=user_id, budget_period="1d", max_api_keys=0)
    limits = limits_for(user_id)
    assert (limits.budget, limits.budget_period) == (Decimal(10), "1d")
    assert limits.max_api_keys == 0


@pytest.mark.parametrize("name", Unlimited.values)
def test_a_user_may_be_without_a_limit_that_the_plan_has(user_id: UUID, name: str) -> None:
    plan = Plan.objects.create(name="Team", **dict.fromkeys(Unlimited.values, 3))
    UserPlan.objects.create(user_id=user_id, plan=plan, unlimited=[name])
    limits = limits_for(user_id)
    given = {other: getattr(limits, other) for other in Unlimited.values}
    assert given == {other: None if other == name else 3 for other in Unlimited.values}


def test_every_number_is_one_that_users_may_be_without() -> None:
    numbers = (models.DecimalField, models.PositiveIntegerField)
    given = {field.name for field in LimitFields._meta.get_fields() if isinstance(field, numbers)}
    assert given == set(Unlimited.values)


def test_rates_are_the_users_else_the_plans_else_the_settings(
    user_id: UUID, settings: Settings
) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "general": "7/h:7:7"}
    plan = Plan.objects.create(name="Team", rate_llm="200/h:20:2", rate_writes="30/h:3")
    UserPlan.objects.create(user_id=user_id, plan=plan, rate_writes="40/h:4")
    limits = limits_for(user_id)
    given = {name: str(limits.quota(RateClass(name))) for name in ("general", "llm", "writes")}
    assert given == {"general": "7/h:7:7", "llm": "200/h:20:2", "writes": "40/h:4"}


def test_every_class_has_a_limit_in_plans_and_settings(settings: Settings) -> None:
    assert set(settings.RATE_LIMITS) == set(RateClass)
    assert {f"rate_{name}" for name in RateClass} < {field.name for field in fields(Limits)}


def test_every_limit_is_one_of_the_plans() -> None:
    missing = []
    for field in fields(Limits):
        try:
            Plan._meta.get_field(field.name)
        except FieldDoesNotExist:
            missing.append(field.name)
    assert missing == []


def test_no_default_plan_is_an_error_and_no_freedom(user_id: UUID) -> None:
    Plan.objects.update(is_default=False)
    with pytest.raises(Plan.DoesNotExist):
        limits_for(user_id)


def test_known_limits_cost_no_query(
    user_id: UUID, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        limits_for(user_id)
    with django_assert_num_queries(0):
        assert limits_for(user_id).budget == Decimal(10)


def test_many_users_cost_as_many_queries_as_one(
    user_id: UUID, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    others = [User.objects.create(pk=uuid4()).pk for _ in range(9)]
    UserPlan.objects.create(user_id=others[0], budget=1)
    with django_assert_num_queries(2):
        found = limits_of([user_id, *others])
    assert [found[one].budget for one in (user_id, *others[:2])] == [10, 1, 10]


async def test_the_data_plane_reads_them_once_for_all_who_ask(user_id: UUID) -> None:
    found = await asyncio.gather(*(alimits_for(user_id) for _ in range(9)))
    assert all(limits is found[0] for limits in found)
    await database_sync_to_async(Plan.objects.update)(budget=7)
    assert (await alimits_for(user_id)).budget == Decimal(10)
    cache.clear_all()
    assert (await alimits_for(user_id)).budget == Decimal(7)


@pytest.mark.parametrize(
    ("patterns", "name", "is_covered"),
    [
        ((), "anything", True),
        (("*",), "a/b/c", True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("openai/*",), "openai/gpt-4o", True),
        (("openai/*",), "openai/", True),
        (("openai/*",), "azure/openai/gpt", False),
        (("openai/*",), "openai/gpt-*", True),
        (("openai/gpt-*",), "openai/*", False),
        (("*-mini", "claude"), "gpt-4o-mini", True),
        (("GPT-4o",), "gpt-4o", False),
    ],
)
def test_a_pattern_covers(patterns: tuple[str, ...], name: str, is_covered: object) -> None:
    assert covers(patterns, name) is is_covered
