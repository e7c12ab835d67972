from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIRequestFactory, force_authenticate

from accounts.models import User
from agents.models import Agent, Status
from agents.views import AgentViewSet
from tests.agents.conftest import Caller

_MANY = 10_000


def test_lists_ones_own_agents_newest_first(alice: Caller, bob: Caller, template: str) -> None:
    names = ["Ada", "Bea", "Cid"]
    for name in names:
        alice.create(template, agent_name=name)

    listed = alice.get("/agents")

    assert [agent["name"] for agent in listed["data"]] == ["Cid", "Bea", "Ada"]
    assert listed["next_cursor"] is None
    assert bob.get("/agents")["data"] == []


def test_lists_agents_of_lettas_own_api_too(alice: Caller, template: str) -> None:
    made = alice.letta(
        "POST", "/agents/", json={"name": "Bare", "model": "openai-proxy/stub-chat", "tags": ["x"]}
    ).json()
    alice.create(template)

    _, bare = alice.get("/agents")["data"]

    assert bare["id"] == made["id"]
    assert (bare["name"], bare["origin"], bare["template"]) == ("Bare", "letta", None)
    assert (bare["status"], bare["tags"]) == ("active", ["x"])
    assert bare["model"] == "openai-proxy/stub-chat"


def test_follows_what_is_done_with_lettas_own_api(alice: Caller, agent: dict[str, Any]) -> None:
    path = f"/agents/{agent['id']}"
    alice.letta("PATCH", path, json={"name": "Eve", "tags": ["new"]}).raise_for_status()

    changed = alice.get(path)
    assert (changed["name"], changed["tags"]) == ("Eve", ["new"])
    assert changed["etag"] != agent["etag"]

    alice.letta("DELETE", path).raise_for_status()
    assert alice("GET", path).status_code == 404
    assert not Agent.objects.exists()


def test_finds_nothing_by_what_is_no_id(alice: Caller) -> None:
    assert alice("GET", "/agents/%00").status_code == 404
    assert alice("DELETE", "/agents/%00").status_code == 404


def test_goes_on_where_a_page_ended(alice: Caller, template: str) -> None:
    made = [alice.create(template)["id"] for _ in range(5)]

    seen, query = [], {"limit": "2"}
    for _ in range(3):
        page = alice.get("/agents", params=query)
        seen.append([agent["id"] for agent in page["data"]])
        query["cursor"] = page["next_cursor"]

    assert seen == [made[4:2:-1], made[2:0:-1], made[:1]]
    assert query["cursor"] is None


def test_filters(alice: Caller, template: str) -> None:
    other = alice.publish(template={"name": "other", "version": "1.0.0"})
    ada = alice.create(template, agent_name="Ada", description="Knows the north.", tags=["vip"])
    bea = alice.create(other, agent_name="Bea North", tags=["vip", "eu"])
    alice.post(f"/agents/{bea['id']}/suspend")

    def found(**query: str) -> list[str]:
        return [agent["name"] for agent in alice.get("/agents", params=query)["data"]]

    assert found(status="suspended") == ["Bea North"]
    assert found(status="active") == ["Ada"]
    assert found(template_id=template) == ["Ada"]
    assert found(tag="vip") == ["Bea North", "Ada"]
    assert found(tag="eu") == ["Bea North"]
    assert found(q="north") == ["Bea North", "Ada"]
    assert found(q="north bea") == ["Bea North"]
    assert found(q="ada", tag="vip") == [ada["name"]]
    assert found(q="nobody") == []
    assert found(q="100%_") == []


@pytest.mark.parametrize("query", [{"status": "odd"}, {"limit": "0"}, {"cursor": "forged"}])
def test_refuses_a_query_that_it_can_not_answer(alice: Caller, query: dict[str, str]) -> None:
    assert alice("GET", "/agents", params=query).status_code == 422


@pytest.mark.django_db
def test_ten_thousand_agents_are_listed_with_the_same_few_queries_each_page() -> None:
    user = User.objects.create(email="many@example.com")
    Agent.objects.bulk_create(
        Agent(
            user=user,
            agent_id=f"agent-{number}",
            name=f"Agent {number}",
            status=Status.ACTIVE,
            tags=["even"] if number % 2 == 0 else [],
            built_from={"large": "x" * 100},
        )
        for number in range(_MANY)
    )
    view = AgentViewSet.as_view({"get": "list"})

    def page(query: dict[str, Any]) -> tuple[dict[str, Any], int]:
        request = APIRequestFactory().get("/api/v1/agents", query)
        force_authenticate(request, user=user)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = view(request).data
        assert "built_from" not in queries[0]["sql"]
        return answer, len(queries)

    query: dict[str, Any] = {"limit": 100}
    seen: set[str] = set()
    counts = set()
    while True:
        answer, count = page(query)
        counts.add(count)
        seen.update(agent["id"] for agent in answer["data"])
        if answer["next_cursor"] is None:
            break
        query["cursor"] = answer["next_cursor"]

    assert len(seen) == _MANY
    assert counts == {1}
    assert page({"tag": "even", "q": "agent", "limit": 100})[1] == 1


@pytest.mark.django_db
def test_a_page_deep_in_the_list_is_read_from_an_index() -> None:
    user = User.objects.create(email="many@example.com")
    Agent.objects.bulk_create(
        Agent(user=user, agent_id=f"agent-{number}", status=Status.ACTIVE) for number in range(2000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE agents_agent")
    middle = Agent.objects.order_by("-created_at", "-id")[1000]

    plan = (
        Agent.objects.for_user(user)
        .filter(created_at__lte=middle.created_at)
        .order_by("-created_at", "-id")[:101]
        .explain()
    )

    assert "Index Scan" in plan
    assert "Sort" not in plan
