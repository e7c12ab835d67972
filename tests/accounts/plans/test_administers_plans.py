from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Plan, User, UserPlan
from accounts.plans.services import limits_for
from gateway_core import cache
from gateway_core.audit.models import AuditEvent

pytestmark = pytest.mark.django_db
PLANS = "/admin/accounts/plan/"
USER_PLANS = "/admin/accounts/userplan/"
INLINE = {"user_plan-TOTAL_FORMS": "1", "user_plan-INITIAL_FORMS": "0"}


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    cache.clear_all()
    yield
    cache.clear_all()


@pytest.fixture
def alice() -> User:
    return User.objects.create(
        pk=uuid4(), email="alice@example.com", claims_issued_at="2026-01-01T00:00Z"
    )


@pytest.fixture
def staff() -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    codenames = ("view_user", "view_userplan", "add_userplan", "change_userplan")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def form(**fields: Any) -> dict[str, Any]:
    return {"name": "Team", "budget_period": "30d", "max_api_keys": "5", **fields}


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_adds_and_changes_a_plan_with_an_audit_event(admin_client: Client) -> None:
    models = "openai/*, gpt-4o"
    assert admin_client.post(f"{PLANS}add/", form(allowed_models=models)).status_code == 302
    plan = Plan.objects.get(name="Team")
    assert (plan.budget, plan.allowed_models) == (None, ["openai/*", "gpt-4o"])
    changed = form(budget="2.5", requests_per_minute="7")
    assert admin_client.post(f"{PLANS}{plan.pk}/change/", changed).status_code == 302
    plan.refresh_from_db()
    assert (plan.budget, plan.requests_per_minute) == (Decimal("2.5"), 7)
    assert actions() == ["plan.create", "plan.change"]


def test_another_default_is_chosen_and_none_is_not(admin_client: Client) -> None:
    old = Plan.objects.get(is_default=True)
    page = admin_client.post(f"{PLANS}{old.pk}/change/", form(name="Default"))
    assert page.status_code == 200
    assert b"Make another one the default." in page.content
    assert admin_client.post(f"{PLANS}add/", form(is_default="on")).status_code == 302
    assert [plan.name for plan in Plan.objects.filter(is_default=True)] == ["Team"]


def test_a_plan_is_deleted_when_nobody_needs_it(admin_client: Client, alice: User) -> None:
    team = Plan.objects.create(name="Team")
    user_plan = UserPlan.objects.create(user=alice, plan=team)
    default = Plan.objects.get(is_default=True)
    for plan in (team, default):
        answer = admin_client.post(f"{PLANS}{plan.pk}/delete/", {"post": "yes"})
        assert answer.status_code == 403
    user_plan.delete()
    admin_client.post(f"{PLANS}{team.pk}/delete/", {"post": "yes"})
    assert list(Plan.objects.all()) == [default]
    assert actions() == ["plan.delete"]


def test_a_plan_that_can_not_be_is_explained(admin_client: Client) -> None:
    page = admin_client.post(f"{PLANS}add/", form(budget="-1", allowed_models="what?"))
    assert page.status_code == 200
    assert set(page.context["adminform"].errors) == {"budget", "allowed_models"}


def test_a_users_plan_is_on_their_page(admin_client: Client, alice: User) -> None:
    page = f"/admin/accounts/user/{alice.pk}/change/"
    assert b"limits instead of the plan" in admin_client.get(page).content
    team = Plan.objects.create(name="Team")
    fields = {"user_plan-0-user": str(alice.pk), "user_plan-0-plan": str(team.pk)}
    answer = admin_client.post(page, {**INLINE, **fields, "user_plan-0-budget": "1"})
    assert answer.status_code == 302
    own = UserPlan.objects.get()
    assert (own.user, own.plan, own.budget) == (alice, team, Decimal(1))
    assert actions() == ["user_plan.change"]


def test_a_user_page_without_changes_makes_no_plan(admin_client: Client, alice: User) -> None:
    answer = admin_client.post(f"/admin/accounts/user/{alice.pk}/change/", INLINE)
    assert answer.status_code == 302
    assert not UserPlan.objects.exists()


def test_a_user_is_freed_of_limits_by_boxes(admin_client: Client, alice: User) -> None:
    page = f"/admin/accounts/user/{alice.pk}/change/"
    fields = {"user_plan-0-user": str(alice.pk), "user_plan-0-budget_period": "1d"}
    ticked = {"user_plan-0-unlimited": ["budget", "max_api_keys"]}
    assert admin_client.post(page, {**INLINE, **fields, **ticked}).status_code == 302
    own = UserPlan.objects.get()
    assert (own.budget_period, own.unlimited) == ("1d", ["budget", "max_api_keys"])
    limits = limits_for(alice.pk)
    assert (limits.budget, limits.budget_period, limits.max_api_keys) == (None, "1d", None)
    shown = admin_client.get(USER_PLANS).content.decode()
    assert "budget: no limit, budget period: 1d, max API keys: no limit" in shown
    shown = admin_client.get(f"{USER_PLANS}{alice.pk}/change/").content.decode()
    assert shown.count("checked") == 2
    event = AuditEvent.objects.get()
    assert event.facts["changes"] == [
        "budget_period: none -> 1d",
        "unlimited: none -> budget max_api_keys",
    ]
    assert admin_client.post(f"{USER_PLANS}{alice.pk}/change/", {}).status_code == 302
    assert UserPlan.objects.get().unlimited == []


def test_a_limit_that_is_given_and_taken_away_is_explained(
    admin_client: Client, alice: User
) -> None:
    fields = {"user": str(alice.pk), "budget": "0", "unlimited": ["budget"]}
    page = admin_client.post(f"{USER_PLANS}add/", fields)
    assert page.status_code == 200
    assert set(page.context["adminform"].errors) == {"budget"}


def test_a_plan_without_a_number_of_api_keys_has_no_limit(admin_client: Client) -> None:
    assert admin_client.post(f"{PLANS}add/", form(max_api_keys="")).status_code == 302
    assert Plan.objects.get(name="Team").max_api_keys is None


def test_staff_who_may_not_change_users_put_them_on_plans(staff: Client, alice: User) -> None:
    team = Plan.objects.create(name="Team")
    added = staff.post(f"{USER_PLANS}add/", {"user": str(alice.pk), "plan": str(team.pk)})
    assert added.status_code == 302
    changed = staff.post(f"{USER_PLANS}{alice.pk}/change/", {"plan": "", "max_parallel_calls": "2"})
    assert changed.status_code == 302
    own = UserPlan.objects.get()
    assert (own.user, own.plan, own.max_parallel_calls) == (alice, None, 2)
    assert actions() == ["user_plan.change", "user_plan.change"]
    assert staff.get(PLANS).status_code == 403


@pytest.mark.parametrize(("term", "count"), [("alice@example.com", 1), ("alice", 0), ("", 1)])
def test_users_plans_are_found_by_whole_words(
    staff: Client, alice: User, term: str, count: int
) -> None:
    UserPlan.objects.create(user=alice)
    page: Any = staff.get(USER_PLANS, {"q": term})
    assert len(page.context["cl"].result_list) == count
    by_id: Any = staff.get(USER_PLANS, {"q": str(alice.pk)})
    assert len(by_id.context["cl"].result_list) == 1


def test_takes_no_pattern_that_would_hold_litellm(admin_client: Client) -> None:
    for pattern in ("*a*b*c", "gpt-4+*", "*gpt+"):
        page = admin_client.post(f"{PLANS}add/", form(allowed_models=pattern))
        assert page.status_code == 200
        assert "Item 1 in the array did not validate" in str(page.context["errors"])
    assert admin_client.post(f"{PLANS}add/", form(allowed_models="a/*-b*")).status_code == 302


def test_staff_give_a_plan_and_a_user_rates_of_their_own(admin_client: Client, alice: User) -> None:
    answer = admin_client.post(f"{PLANS}add/", form(rate_llm=" 500/h:100:20 "))
    assert answer.status_code == 302
    assert Plan.objects.get(name="Team").rate_llm == "500/h:100:20"
    page = f"/admin/accounts/user/{alice.pk}/change/"
    fields = {"user_plan-0-user": str(alice.pk), "user_plan-0-rate_uploads": "5/h:5"}
    assert admin_client.post(page, {**INLINE, **fields}).status_code == 302
    assert UserPlan.objects.get().rate_uploads == "5/h:5"
    event = AuditEvent.objects.order_by("id").last()
    assert event is not None
    assert event.facts["changes"] == ["rate_uploads: none -> 5/h:5"]


@pytest.mark.parametrize("rate", ["500", "0/h:1", "1/h:0", "500/min:10", "500/h:10:0"])
def test_a_rate_that_can_not_be_is_explained(admin_client: Client, rate: str) -> None:
    page = admin_client.post(f"{PLANS}add/", form(rate_writes=rate))
    assert page.status_code == 200
    assert page.context["adminform"].errors["rate_writes"][0].endswith("1000/h:100:32.")
