"""An agent of the real Letta goes to another version of its template, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.models import AGENT_EMBEDDING, AGENT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    from letta_client import Letta

    from tests.end_to_end.people import Clients, Person


def agent_file(version: str, system: str, tools: list[str], **members: Any) -> dict[str, Any]:
    return {
        "af_version": "1.0",
        "template": {"name": "companion", "version": version},
        "engine": {"model": AGENT_MODEL, "embedding": AGENT_EMBEDDING},
        "persona": {
            "system_prompt": system,
            "variables_schema": {"properties": {"name": {"type": "string"}}},
        },
        "tools": tools,
        **members,
    }


FIRST = agent_file(
    "1.0.0",
    "You help {{name}}.",
    ["memory_insert", "archival_memory_insert"],
    memory_layout={
        "blocks": [
            {"label": "human", "value": "Name: {{name}}", "limit": 2000},
            {"label": "rules", "value": "Be kind.", "read_only": True},
        ]
    },
)
SECOND = agent_file(
    "2.0.0",
    "You serve {{name}}.",
    ["memory_insert", "conversation_search"],
    engine={
        "model": AGENT_MODEL,
        "embedding": AGENT_EMBEDDING,
        "hyperparams": {"temperature": 0.25, "context_window": 16000},
    },
    memory_layout={
        "blocks": [
            {"label": "human", "value": "Name: {{name}}", "limit": 3000, "description": "Who?"},
            {"label": "goals", "value": "Serve {{name}}."},
        ]
    },
    tool_env={"WHO": "{{name}}"},
)


@pytest.fixture
def ann(new_person: Callable[[str], Person]) -> Person:
    return new_person("ann")


@pytest.fixture
def http(clients: Clients, ann: Person) -> httpx.Client:
    return clients.http(ann)


@pytest.fixture
def letta(clients: Clients, ann: Person) -> Letta:
    return clients.letta(ann)


@pytest.fixture
def agent(http: httpx.Client) -> Iterator[str]:
    published = post(http, "/templates/publish", FIRST)
    wish = {"template_id": published["template_id"], "variables": {"name": "Ann"}}
    made = post(http, "/agents", wish)["agent"]["id"]
    yield made
    http.delete(f"/api/v1/agents/{made}").raise_for_status()


def post(http: httpx.Client, path: str, body: Any) -> dict[str, Any]:
    answer = http.post(f"/api/v1{path}", json=body)
    assert answer.is_success, answer.text
    return dict(answer.json())


def blocks(letta: Letta, agent: str) -> dict[str, tuple[Any, Any]]:
    return {
        block.label or "": (block.value, block.limit) for block in letta.agents.blocks.list(agent)
    }


def tools(letta: Letta, agent: str) -> set[str]:
    return {tool.name or "" for tool in letta.agents.tools.list(agent)}


def test_keeps_what_an_agent_has_learned_there_and_back(
    http: httpx.Client, letta: Letta, agent: str
) -> None:
    letta.agents.messages.create(agent, input="hello")
    letta.agents.blocks.update("human", agent_id=agent, value="Name: Ann\nLikes tea.")
    before = letta.agents.retrieve(agent)
    post(http, "/templates/publish", SECOND)

    said = post(http, f"/agents/{agent}/upgrade", {})
    assert said["dry_run"] is True
    assert said["conflicts"] == []
    assert [(line["op"], line["pointer"]) for line in said["plan"]] == [
        ("add", "/memory_layout/blocks/goals"),
        ("change", "/memory_layout/blocks/human"),
        ("remove", "/memory_layout/blocks/rules"),
        ("change", "/tools"),
        ("change", "/tool_env"),
        ("change", "/engine"),
        ("change", "/persona/system_prompt"),
    ]
    assert letta.agents.retrieve(agent).system == "You help Ann."

    agreed = {"dry_run": False, "plan_hash": said["plan_hash"]}
    done = post(http, f"/agents/{agent}/upgrade", agreed)
    assert done["new_version"] == "2.0.0"
    assert blocks(letta, agent) == {
        "human": ("Name: Ann\nLikes tea.", 3000),
        "goals": ("Serve Ann.", 100_000),
    }
    now = letta.agents.retrieve(agent)
    assert now.system == "You serve Ann."
    assert tools(letta, agent) == {"memory_insert", "conversation_search"}
    assert now.model == AGENT_MODEL
    assert now.llm_config.context_window == 16000
    assert now.llm_config.temperature == 0.25
    assert letta.agents.messages.create(agent, input="still there?").messages
    again = post(http, f"/agents/{agent}/upgrade", {"force": True})
    assert again["plan"] == []

    letta.agents.blocks.update("human", agent_id=agent, value="Name: Ann\nLikes tea and cake.")
    migration = done["migration"]["id"]
    back = post(http, f"/agents/{agent}/migrations/{migration}/rollback", {})
    assert back["new_version"] == "1.0.0"
    assert blocks(letta, agent) == {
        "human": ("Name: Ann\nLikes tea and cake.", 2000),
        "rules": ("Be kind.", 100_000),
    }
    after = letta.agents.retrieve(agent)
    assert after.system == before.system
    assert tools(letta, agent) == set(FIRST["tools"])
    assert after.llm_config.context_window == before.llm_config.context_window
    assert letta.agents.messages.create(agent, input="and now?").messages


RENAMED = agent_file(
    "1.5.0",
    "You help {{name}}.",
    ["memory_insert", "archival_memory_insert"],
    memory_layout={
        "blocks": [
            {"label": "person", "value": "Called {{name}}", "limit": 4000},
            {"label": "rules", "value": "Be kind.", "read_only": True},
        ]
    },
    migrations=[
        {
            "from": "1.0.0",
            "to": "1.5.0",
            "steps": [
                {
                    "type": "json_patch",
                    "patch": [
                        {
                            "op": "move",
                            "from": "/memory_layout/blocks/human",
                            "path": "/memory_layout/blocks/person",
                        },
                        {
                            "op": "add",
                            "path": "/engine/hyperparams/temperature",
                            "value": 0.5,
                        },
                        {
                            "op": "replace",
                            "path": "/memory_layout/blocks/rules/value",
                            "value": "Be kind to {{name}}.",
                        },
                    ],
                }
            ],
        }
    ],
)


def test_lives_from_its_template_to_its_end(http: httpx.Client, letta: Letta, agent: str) -> None:
    """Made, talked to, taught, upgraded by steps, rolled back, cloned, exported, deleted."""
    path = f"/api/v1/agents/{agent}"
    assert letta.agents.messages.create(agent, input="hello").messages
    letta.agents.blocks.update("human", agent_id=agent, value="Name: Ann\nLikes tea.")
    before = letta.agents.retrieve(agent)
    post(http, "/templates/publish", RENAMED)

    said = post(http, f"/agents/{agent}/upgrade", {})
    assert said["migrations"] == [{"from": "1.0.0", "to": "1.5.0"}]
    assert (said["conflicts"], said["warnings"]) == ([], [])
    agreed = {"dry_run": False, "plan_hash": said["plan_hash"]}
    done = post(http, f"/agents/{agent}/upgrade", agreed)
    assert blocks(letta, agent) == {
        "person": ("Name: Ann\nLikes tea.", 4000),
        "rules": ("Be kind to Ann.", 100_000),
    }
    assert letta.agents.retrieve(agent).llm_config.temperature == 0.5
    assert letta.agents.messages.create(agent, input="still there?").messages

    back = post(http, f"/agents/{agent}/migrations/{done['migration']['id']}/rollback", {})
    assert back["new_version"] == "1.0.0"
    assert blocks(letta, agent)["human"] == ("Name: Ann\nLikes tea.", 2000)
    after = letta.agents.retrieve(agent)
    assert after.llm_config.temperature == before.llm_config.temperature

    clone = post(http, f"/agents/{agent}/clone", {"include_messages": True})["agent"]["id"]
    assert blocks(letta, clone)["human"][0] == "Name: Ann\nLikes tea."
    exported = http.get(f"{path}/export").json()
    imported = post(http, "/agents/import", {"file": exported})["agent"]["id"]
    assert blocks(letta, imported)["human"][0] == "Name: Ann\nLikes tea."
    for copy in (clone, imported):
        assert http.delete(f"/api/v1/agents/{copy}").status_code == 204
    assert [one.id for one in letta.agents.list().items] == [agent]


def test_leaves_an_agent_to_its_owner_where_both_have_changed_it(
    http: httpx.Client, letta: Letta, agent: str
) -> None:
    layout = {"blocks": [{"label": "human", "value": "Called {{name}}"}]}
    third = agent_file("3.0.0", "You know {{name}}.", ["memory_insert"], memory_layout=layout)
    post(http, "/templates/publish", third)
    letta.agents.blocks.update("human", agent_id=agent, value="Learned.")
    answer = http.post(f"/api/v1/agents/{agent}/upgrade", json={"dry_run": False})
    pointer = "/memory_layout/blocks/human/value"
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (409, pointer)
    assert letta.agents.retrieve(agent).system == "You help Ann."

    wish = {"dry_run": False, "strategies": {pointer: "keep_agent"}}
    post(http, f"/agents/{agent}/upgrade", wish)
    assert blocks(letta, agent)["human"][0] == "Learned."
    assert letta.agents.retrieve(agent).system == "You know Ann."
