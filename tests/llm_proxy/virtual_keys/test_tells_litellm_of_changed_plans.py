"""Users who don't call are told of, too: LiteLLM begins their periods anew by what it knows."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Plan, UserPlan
from accounts.plans.services import save_plan
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import work_once
from llm_proxy.models import VirtualKey
from llm_proxy.virtual_keys import plan_changes
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks

UseKey = Callable[..., str]


def change(plan: Plan | None = None, **values: object) -> Job:
    """Change a plan, the default one unless told otherwise, and return the job that tells of it."""
    plan = plan or Plan.objects.get(is_default=True)
    for name, value in values.items():
        setattr(plan, name, value)
    save_plan(plan=plan, by=None)
    return Job.objects.get(kind=plan_changes.KIND, subject=str(plan.pk), state=Job.State.WAITING)


def work_off() -> None:
    while work_once():
        pass


def budget_in(books: LiteLLMBooks, user_id: UUID) -> object:
    return books.get("/v2/user/info", user_id=user_id)["max_budget"]


def told(litellm: Running) -> list[str]:
    """Return whose terms LiteLLM was sent."""
    requests = litellm.requests("^/user/update$")
    return [orjson.loads(request["body"])["user_id"] for request in requests]


def test_tells_of_everybody_on_the_default_plan_and_nobody_else(
    alice: UUID, bob: UUID, use_key: UseKey, books: LiteLLMBooks, litellm: Running
) -> None:
    UserPlan.objects.create(user_id=bob, plan=Plan.objects.create(name="Team", budget=7))
    use_key(alice)
    use_key(bob)
    job = change(budget=Decimal(3), budget_period="1d")

    work_off()

    assert (budget_in(books, alice), budget_in(books, bob)) == (3, 7)
    assert books.get("/v2/user/info", user_id=alice)["budget_duration"] == "1d"
    assert told(litellm) == [str(alice)]
    job.refresh_from_db()
    assert (job.state, job.done, job.total, job.result["failed"]) == (Job.State.DONE, 1, 1, 0)


def test_tells_of_everybody_on_another_plan(
    alice: UUID, bob: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    team = Plan.objects.create(name="Team", budget=7)
    UserPlan.objects.create(user_id=bob, plan=team)
    UserPlan.objects.create(user_id=alice, requests_per_minute=5)
    use_key(alice)
    use_key(bob)
    job = change(team, budget=Decimal(8))
    work_off()
    job.refresh_from_db()
    assert (budget_in(books, alice), budget_in(books, bob), job.total) == (10, 8, 1)
    change(team, is_default=True)
    work_off()
    assert (budget_in(books, alice), budget_in(books, bob)) == (8, 8)


def test_tells_nothing_of_whom_litellm_has_not_heard_or_has_been_told(
    alice: UUID, bob: UUID, use_key: UseKey, litellm: Running
) -> None:
    VirtualKey.objects.managed(bob)
    use_key(alice)
    change(budget=Decimal(3))
    use_key(alice)
    assert told(litellm) == [str(alice)]
    work_off()
    assert told(litellm) == [str(alice)]


def test_gives_way_after_each_batch_and_goes_on_behind_it(
    alice: UUID,
    bob: UUID,
    use_key: UseKey,
    litellm: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_changes, "_BATCH", 1)
    use_key(alice)
    use_key(bob)
    job = change(budget=Decimal(3))
    assert work_once()
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (Job.State.WAITING, 1, 2)
    assert len(told(litellm)) == 1
    work_off()
    assert sorted(told(litellm)) == sorted([str(alice), str(bob)])
    job.refresh_from_db()
    assert (job.state, job.done) == (Job.State.DONE, 2)


def test_goes_on_when_litellm_is_back(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks, settings: Settings
) -> None:
    use_key(alice)
    job = change(budget=Decimal(3))
    usual, settings.LITELLM_BASE_URL = settings.LITELLM_BASE_URL, "http://127.0.0.1:9"
    work_off()
    job.refresh_from_db()
    assert (job.state, job.done) == (Job.State.WAITING, 0)
    assert job.error
    settings.LITELLM_BASE_URL = usual
    Job.objects.update(not_before=timezone.now())
    work_off()
    assert budget_in(books, alice) == 3


def test_goes_on_past_a_key_that_can_not_be_changed(
    alice: UUID, bob: UUID, use_key: UseKey, litellm: Running
) -> None:
    use_key(alice)
    use_key(bob)
    job = change(budget=Decimal(3))
    litellm.fault("^/key/update$", times=1, status=500, body={"error": {"type": "internal"}})
    work_off()
    job.refresh_from_db()
    assert (job.state, job.done, job.result["failed"]) == (Job.State.DONE, 2, 1)
    assert len(told(litellm)) == 1


def test_begins_anew_when_the_plan_changes_again(
    alice: UUID, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    first = change(budget=Decimal(3))
    change(budget=Decimal(4))
    first.refresh_from_db()
    assert first.state == Job.State.CANCELLED
    work_off()
    assert budget_in(books, alice) == 4
