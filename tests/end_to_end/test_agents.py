"""Agents from templates, over the gateway's own API and Letta's side by side, on a real Letta."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import letta_client
import pytest

from tests.end_to_end.gateway_process import no_settings
from tests.end_to_end.models import AGENT_EMBEDDING, AGENT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    from letta_client import Letta

    from tests.end_to_end.gateway_process import Gateway
    from tests.end_to_end.people import Clients, Person, Supabase
    from tests.end_to_end.upstream_views import Upstreams

_PROJECT = Path(__file__).resolve().parents[2]
_TEMPLATE = f"""
af_version: "1.0"
template:
  name: companion
  version: 1.0.0
engine:
  model: {AGENT_MODEL}
  embedding: {AGENT_EMBEDDING}
  hyperparams: {{temperature: 0.2, context_window: 20000}}
persona:
  system_prompt: You keep {{{{user_name}}}} company.
  variables_schema:
    type: object
    required: [user_name]
    properties:
      user_name: {{type: string}}
      search_key: {{type: string, x-secret: true}}
memory_layout:
  blocks:
    - {{label: human, value: "Name: {{{{user_name}}}}", limit: 3000}}
    - {{label: rules, value: Be kind., read_only: true}}
tools: [memory_insert, archival_memory_insert, archival_memory_search]
tool_env: {{EXA_API_KEY: "{{{{search_key}}}}"}}
"""


@pytest.fixture
def carol(new_person: Callable[[str], Person]) -> Person:
    return new_person("carol")


@pytest.fixture
def api(clients: Clients, carol: Person) -> Iterator[httpx.Client]:
    client = clients.http(carol)
    yield client
    for agent in client.get("/api/v1/agents").json()["data"]:
        client.post(f"/api/v1/agents/{agent['id']}/resume")
        client.delete(f"/api/v1/agents/{agent['id']}")


@pytest.fixture
def letta(clients: Clients, carol: Person) -> Letta:
    return clients.letta(carol)


@pytest.fixture
def agent(api: httpx.Client) -> dict[str, Any]:
    headers = {"content-type": "application/yaml"}
    published = api.post("/api/v1/templates/publish", content=_TEMPLATE, headers=headers)
    assert published.status_code == 201, published.text
    made = api.post(
        "/api/v1/agents",
        json={
            "template_id": published.json()["template_id"],
            "variables": {"user_name": "Ann", "search_key": "exa-secret"},
            "agent_name": "Ada",
            "tags": ["vip"],
        },
    )
    assert made.status_code == 201, made.text
    return dict(made.json()["agent"])


def blocks(letta: Letta, agent_id: str) -> dict[str, str]:
    return {str(block.label): block.value for block in letta.agents.blocks.list(agent_id)}


def said(letta: Letta, agent_id: str) -> list[str]:
    listed = letta.agents.messages.list(agent_id, order="asc").items
    kinds = ("user_message", "assistant_message")
    return [str(one.content) for one in listed if one.message_type in kinds]  # type: ignore[union-attr]


def say(letta: Letta, agent_id: str, text: str) -> str:
    answer = letta.agents.messages.create(agent_id, messages=[{"role": "user", "content": text}])
    return str(answer.messages[-1].content)  # type: ignore[union-attr]


def test_an_agents_life(api: httpx.Client, letta: Letta, agent: dict[str, Any]) -> None:
    agent_id, path = agent["id"], f"/api/v1/agents/{agent['id']}"
    assert agent["variables"] == {"user_name": "Ann", "search_key": "********"}
    shown = letta.agents.retrieve(agent_id, include=["agent.tools", "agent.tags"])
    assert shown.system == "You keep Ann company."
    assert {tool.name for tool in shown.tools} == {
        "memory_insert",
        "archival_memory_insert",
        "archival_memory_search",
    }

    assert "hello" in say(letta, agent_id, "hello")
    learned = {"label": "human", "new_string": "Likes tea."}
    say(letta, agent_id, f"TOOL:memory_insert {json.dumps(learned)}")
    letta.agents.passages.create(agent_id, text="The sky is blue.")
    assert blocks(letta, agent_id) == {"human": "Name: Ann\nLikes tea.", "rules": "Be kind."}

    assert [one["id"] for one in api.get("/api/v1/agents").json()["data"]] == [agent_id]
    assert api.post(f"{path}/suspend").json()["status"] == "suspended"
    with pytest.raises(letta_client.APIStatusError) as refused:
        say(letta, agent_id, "are you there?")
    assert refused.value.status_code == 423
    assert api.post(f"{path}/resume").json()["status"] == "active"
    assert "again" in say(letta, agent_id, "again")

    changed = api.patch(path, json={"name": "Eve"}, headers={"if-match": '"1"'})
    assert changed.status_code == 412
    assert api.patch(path, json={"name": "Eve", "tags": ["x"]}).status_code == 200
    assert letta.agents.retrieve(agent_id).name == "Eve"

    assert api.delete(path).status_code == 204
    assert letta.agents.list().items == []
    assert letta.blocks.list().items == []
    assert letta.archives.list().items == []
    assert api.get(path).status_code == 404


def test_a_clone_remembers(api: httpx.Client, letta: Letta, agent: dict[str, Any]) -> None:
    agent_id, path = agent["id"], f"/api/v1/agents/{agent['id']}"
    learned = {"label": "human", "new_string": "Likes tea."}
    say(letta, agent_id, f"TOOL:memory_insert {json.dumps(learned)}")
    for text in ("The sky is blue.", "Grass is green.", "Snow is white."):
        letta.agents.passages.create(agent_id, text=text)

    made = api.post(f"{path}/clone", json={"agent_name": "Bea", "include_messages": True})

    assert made.status_code == 201, made.text
    clone = made.json()["agent"]
    assert blocks(letta, clone["id"]) == blocks(letta, agent_id)
    assert said(letta, clone["id"]) == said(letta, agent_id) != []
    assert {one.text for one in letta.agents.passages.list(clone["id"])} == {
        "The sky is blue.",
        "Grass is green.",
        "Snow is white.",
    }
    source, copy = (letta.agents.retrieve(one) for one in (agent_id, clone["id"]))
    assert copy.system == source.system
    assert copy.model == source.model == AGENT_MODEL
    assert copy.llm_config.context_window == source.llm_config.context_window == 20000
    assert copy.llm_config.temperature == source.llm_config.temperature == 0.2
    assert "and you?" in say(letta, clone["id"], "and you?")
    assert said(letta, clone["id"]) != said(letta, agent_id)

    fresh = api.post(f"{path}/clone", json={"include_memory": False}).json()["agent"]
    assert blocks(letta, fresh["id"]) == {"human": "Name: Ann", "rules": "Be kind."}
    assert said(letta, fresh["id"]) == []
    assert letta.agents.passages.list(fresh["id"]) == []


def test_an_export_comes_back_for_somebody_else(
    api: httpx.Client,
    letta: Letta,
    agent: dict[str, Any],
    clients: Clients,
    new_person: Callable[[str], Person],
) -> None:
    say(letta, agent["id"], "Remember the north.")
    letta.agents.passages.create(agent["id"], text="The sky is blue.")
    exported = api.get(f"/api/v1/agents/{agent['id']}/export")
    assert "exa-secret" not in exported.text
    assert "://" not in exported.text

    dave = new_person("dave")
    other = clients.http(dave)
    made = other.post("/api/v1/agents/import", json={"file": exported.json()})

    assert made.status_code == 201, made.text
    imported = made.json()["agent"]
    theirs = clients.letta(dave)
    assert said(theirs, imported["id"]) == said(letta, agent["id"])
    assert blocks(theirs, imported["id"]) == blocks(letta, agent["id"])
    assert "hello" in say(theirs, imported["id"], "hello")
    assert other.delete(f"/api/v1/agents/{imported['id']}").status_code == 204
    assert theirs.agents.list().items == []


def test_an_agent_of_lettas_own_api_is_in_the_list(
    api: httpx.Client, letta: Letta, make_agent: Callable[..., Any]
) -> None:
    made = make_agent(letta, name="bare")

    (listed,) = api.get("/api/v1/agents").json()["data"]

    assert (listed["id"], listed["name"], listed["origin"]) == (made.id, "bare", "letta")
    assert listed["model"] == AGENT_MODEL


def test_reconciling_finds_nothing_after_all_that(
    gateway: Gateway, upstreams: Upstreams, supabase: Supabase, agent: dict[str, Any]
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "reconcile_agents", "--dry-run", "--grace", "0"],
        cwd=_PROJECT,
        env={
            **no_settings(),
            **upstreams.settings,
            "SUPABASE_URL": supabase.url,
            "PATH": os.environ["PATH"],
            "HOME": str(gateway.log.parent),
            "SANDBOX_DIR": str(gateway.log.parent / "sandbox"),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert " 0 creations undone" in done.stdout
    assert agent["id"] not in done.stdout
