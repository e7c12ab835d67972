from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from letta_proxy.models import Kind, OwnedResource
from tests.agents.conftest import BOTH_DRIVERS, EMBEDDING, MODEL, Caller, InLetta, rows
from tests.conftest import Running

pytestmark = BOTH_DRIVERS


@pytest.fixture
def lived(alice: Caller) -> dict[str, Any]:
    """An agent that has learned something."""
    template = alice.publish(tool_env={"EXA_API_KEY": "{{search_key}}"})
    variables = {"user_name": "Ann", "search_key": "exa-secret"}
    agent = alice.create(
        template, variables=variables, agent_name="Ada", tags=["vip"], metadata={"x": 1}
    )
    path = f"/agents/{agent['id']}"
    for method, below, body in (
        ("PATCH", "/core-memory/blocks/human", {"value": "Name: Ann. Likes tea."}),
        ("POST", "/archival-memory", {"text": "The sky is blue.", "tags": ["fact"]}),
        ("POST", "/archival-memory", {"text": "Grass is green."}),
        ("POST", "/messages", {"input": "Remember the north."}),
    ):
        alice.letta(method, path + below, json=body).raise_for_status()
    return agent


def blocks(agent: dict[str, Any]) -> dict[str, str]:
    return {block["label"]: block["value"] for block in agent["blocks"]}


def passages(in_letta: InLetta, agent_id: str) -> list[tuple[str, list[str]]]:
    listed = in_letta("GET", f"/agents/{agent_id}/archival-memory?ascending=true")
    return [(row["text"], row["tags"] or []) for row in listed]


def texts(in_letta: InLetta, agent_id: str) -> list[str]:
    listed = in_letta("GET", f"/agents/{agent_id}/messages?order=asc")
    return [str(row.get("content")) for row in listed if row["message_type"] != "system_message"]


def test_a_clone_knows_what_the_agent_knows(
    alice: Caller, lived: dict[str, Any], in_letta: InLetta
) -> None:
    answer = alice(
        "POST",
        f"/agents/{lived['id']}/clone",
        json={"agent_name": "Bea", "include_messages": True},
    )

    assert answer.status_code == 201
    clone = answer.json()["agent"]
    same = ("template", "variables", "model", "embedding", "tags", "metadata", "description")
    assert {name: clone[name] for name in same} == {name: lived[name] for name in same}
    assert (clone["name"], clone["origin"], clone["status"]) == ("Bea", "clone", "active")
    assert clone["id"] != lived["id"]
    source, made = (in_letta("GET", f"/agents/{one['id']}") for one in (lived, clone))
    assert blocks(made) == blocks(source)
    assert blocks(made)["human"] == "Name: Ann. Likes tea."
    assert made["system"] == source["system"]
    assert [tool["name"] for tool in made["tools"]] == [tool["name"] for tool in source["tools"]]
    assert passages(in_letta, clone["id"]) == [
        ("The sky is blue.", ["fact"]),
        ("Grass is green.", []),
    ]
    assert texts(in_letta, clone["id"]) == texts(in_letta, lived["id"]) != []
    assert [(one["key"], one["value"]) for one in made["secrets"]] == [
        ("EXA_API_KEY", "exa-secret")
    ]


def test_the_two_live_apart(alice: Caller, lived: dict[str, Any], in_letta: InLetta) -> None:
    clone = alice.post(f"/agents/{lived['id']}/clone", json={})["agent"]["id"]
    alice.letta("PATCH", f"/agents/{clone}/core-memory/blocks/human", json={"value": "Bob"})

    assert blocks(in_letta("GET", f"/agents/{lived['id']}"))["human"] == "Name: Ann. Likes tea."
    assert alice("DELETE", f"/agents/{clone}").status_code == 204
    assert in_letta.ids() == [lived["id"]]
    assert len(in_letta.ids("blocks")) == 2
    assert len(in_letta.ids("archives")) == 1


def test_a_clone_without_memory_begins_as_the_agent_began(
    alice: Caller, lived: dict[str, Any], in_letta: InLetta
) -> None:
    body = {"include_memory": False}
    clone = alice.post(f"/agents/{lived['id']}/clone", json=body)["agent"]

    assert clone["name"] == "Ada copy"
    made = in_letta("GET", f"/agents/{clone['id']}")
    assert blocks(made) == {"human": "Name: Ann", "rules": "Be kind."}
    assert passages(in_letta, clone["id"]) == []
    assert texts(in_letta, clone["id"]) == []


def test_an_agent_of_no_template_forgets_all_but_what_it_could_not_write(
    alice: Caller, in_letta: InLetta
) -> None:
    memory = [
        {"label": "human", "value": "Ann"},
        {"label": "law", "value": "Be kind.", "read_only": True},
    ]
    source = alice.letta(
        "POST",
        "/agents/",
        json={"name": "Bare", "model": MODEL, "embedding": EMBEDDING, "memory_blocks": memory},
    ).json()

    body = {"include_memory": False}
    clone = alice.post(f"/agents/{source['id']}/clone", json=body)["agent"]["id"]

    assert blocks(in_letta("GET", f"/agents/{clone}")) == {"human": "", "law": "Be kind."}


def test_a_clone_is_the_users_with_all_that_came_with_it(
    alice: Caller, bob: Caller, lived: dict[str, Any]
) -> None:
    clone = alice.post(f"/agents/{lived['id']}/clone", json={})["agent"]["id"]

    assert alice.letta("GET", f"/agents/{clone}").status_code == 200
    assert bob.letta("GET", f"/agents/{clone}").status_code == 404
    kinds = OwnedResource.objects.filter(agent_id=clone).values_list("kind", flat=True)
    assert sorted(kinds) == [Kind.ARCHIVE, Kind.BLOCK, Kind.BLOCK]


@pytest.mark.parametrize(
    "target", ["/export$", "/agents/import$", "/recompile$", "/archival-memory$"]
)
def test_leaves_nothing_of_a_clone_that_fails(
    alice: Caller, lived: dict[str, Any], letta: Running, in_letta: InLetta, target: str
) -> None:
    before = [in_letta.ids(table) for table in ("agents", "blocks", "archives")]
    letta.fault(target, status=500, times=1)

    answer = alice("POST", f"/agents/{lived['id']}/clone", json={"include_messages": True})

    assert answer.status_code == 502
    assert [row.agent_id for row in rows()] == [lived["id"]]
    assert [in_letta.ids(table) for table in ("agents", "blocks", "archives")] == before


def test_nothing_of_it_stays_when_letta_is_away(
    alice: Caller, lived: dict[str, Any], settings: Any
) -> None:
    settings.LETTA_BASE_URL = "http://127.0.0.1:1"

    assert alice("POST", f"/agents/{lived['id']}/clone", json={}).status_code == 503
    assert Agent.objects.count() == 1
