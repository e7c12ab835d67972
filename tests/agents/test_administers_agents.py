from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from agents.models import Agent, Status
from gateway_core.audit.models import AuditEvent

pytestmark = pytest.mark.django_db

_LIST = reverse("admin:agents_agent_changelist")


@pytest.fixture
def owner() -> User:
    return User.objects.create(email="alice@example.com")


@pytest.fixture
def agent(owner: User) -> Agent:
    return Agent.objects.create(
        user=owner,
        agent_id="agent-1",
        name="Ada",
        status=Status.ACTIVE,
        secret_names=["search_key"],
        encrypted_variables="v1.encrypted",
    )


@pytest.fixture
def staff() -> User:
    user = User.objects.create_user("staff", "pw", is_staff=True, email="staff@example.com")
    permissions = Permission.objects.filter(codename__in=("view_agent", "suspend_agent"))
    user.user_permissions.set(permissions)
    return user


@pytest.fixture
def site(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def act(site: Client, action: str, agent: Agent, **more: str) -> Any:
    body = {"action": action, "_selected_action": str(agent.pk), **more}
    return site.post(_LIST, body, follow=True)


def test_suspends_and_resumes_after_a_question(site: Client, agent: Agent, staff: User) -> None:
    page = act(site, "suspend", agent)
    agent.refresh_from_db()
    assert "Nothing will reach these agents any more" in page.content.decode()
    assert agent.status == Status.ACTIVE

    done = act(site, "suspend", agent, post="yes")
    agent.refresh_from_db()
    assert "1 of 1 changed." in done.content.decode()
    assert (agent.status, agent.suspended_by) == (Status.SUSPENDED, "staff")

    assert "0 of 1 changed." in act(site, "suspend", agent, post="yes").content.decode()
    assert "1 of 1 changed." in act(site, "resume", agent, post="yes").content.decode()
    agent.refresh_from_db()
    assert agent.status == Status.ACTIVE
    events = AuditEvent.objects.filter(action__startswith="agent.").order_by("id")
    assert [(event.action, event.user_id) for event in events] == [
        ("agent.suspend", staff.pk),
        ("agent.resume", staff.pk),
    ]


def test_leaves_alone_what_is_under_way(site: Client, agent: Agent) -> None:
    Agent.objects.update(status=Status.DELETING)

    assert "None that this can be done to" in act(site, "suspend", agent).content.decode()
    assert "0 of 1 changed." in act(site, "suspend", agent, post="yes").content.decode()


def test_only_those_who_may_suspend(site: Client, agent: Agent, staff: User) -> None:
    staff.user_permissions.remove(Permission.objects.get(codename="suspend_agent"))

    act(site, "suspend", agent, post="yes")

    agent.refresh_from_db()
    assert agent.status == Status.ACTIVE


@pytest.mark.parametrize(
    ("term", "found"),
    [("agent-1", 1), ("alice@example.com", 1), ("agent-2", 0), ("ali", 0), ("Ada", 0)],
)
def test_finds_agents_by_whole_words(site: Client, agent: Agent, term: str, found: int) -> None:
    del agent
    page = site.get(_LIST, {"q": term})
    assert len(page.context["cl"].result_list) == found


def test_finds_agents_by_ids_of_rows(site: Client, agent: Agent) -> None:
    for term in (str(agent.pk), str(agent.user_id)):
        assert len(site.get(_LIST, {"q": term}).context["cl"].result_list) == 1


def test_shows_no_secret_and_changes_nothing(site: Client, agent: Agent) -> None:
    url = reverse("admin:agents_agent_change", args=[agent.pk])
    page = site.get(url).content.decode()

    assert "search_key" in page
    assert "v1.encrypted" not in page
    assert site.post(url, {"name": "Eve"}).status_code == 403
    assert site.get(reverse("admin:agents_agent_add")).status_code == 403
