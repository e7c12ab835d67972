from __future__ import annotations

import json
from typing import Any

import pytest

from agents.exports import checksum
from tests.agents.conftest import BOTH_DRIVERS, Caller, InLetta, rows
from tests.agents.test_clones_agents import blocks, lived, passages, texts
from tests.conftest import Running

__all__ = ("lived",)


def export(caller: Caller, agent: dict[str, Any], **query: str) -> dict[str, Any]:
    return dict(caller.get(f"/agents/{agent['id']}/export", params=query))


def test_an_export_is_all_of_an_agent_but_its_secrets(alice: Caller, lived: dict[str, Any]) -> None:
    answer = alice("GET", f"/agents/{lived['id']}/export")

    assert answer.headers["content-disposition"] == f'attachment; filename="{lived["id"]}.json"'
    file = answer.json()
    assert (file["format"], file["format_version"]) == ("gateway-agent", 1)
    assert file["checksum"] == checksum(file["agent"])
    content = file["agent"]
    assert content["template"] == lived["template"]
    assert content["variables"] == {"user_name": "Ann", "tone": "kind"}
    assert content["body"]["system"] == "You help Ann."
    assert [passage["text"] for passage in content["passages"]] == [
        "The sky is blue.",
        "Grass is green.",
    ]
    assert any("Remember the north." in str(one["content"]) for one in content["messages"])
    for word in ("exa-secret", "://", "gw:", "source_code", "model_endpoint"):
        assert word not in answer.text


def test_an_export_may_leave_the_messages_out(alice: Caller, lived: dict[str, Any]) -> None:
    assert export(alice, lived, include_messages="false")["agent"]["messages"] == []


@BOTH_DRIVERS
def test_comes_back_as_it_went(alice: Caller, lived: dict[str, Any], in_letta: InLetta) -> None:
    file = json.loads(json.dumps(export(alice, lived)))
    body = {"file": file, "agent_name": "Eve", "variables": {"search_key": "exa-new"}}

    answer = alice("POST", "/agents/import", json=body)

    assert answer.status_code == 201, answer.text
    agent = answer.json()["agent"]
    assert (agent["name"], agent["origin"], agent["status"]) == ("Eve", "import", "active")
    assert agent["template"] == lived["template"]
    assert agent["variables"] == lived["variables"]
    made, source = (in_letta("GET", f"/agents/{one['id']}") for one in (agent, lived))
    assert blocks(made) == blocks(source)
    assert passages(in_letta, agent["id"]) == passages(in_letta, lived["id"])
    assert texts(in_letta, agent["id"]) == texts(in_letta, lived["id"])
    assert [one["value"] for one in made["secrets"]] == ["exa-new"]


def test_another_user_takes_it_without_the_template_that_they_can_not_see(
    alice: Caller, bob: Caller, lived: dict[str, Any]
) -> None:
    body = {"file": export(alice, lived)}

    agent = bob.post("/agents/import", json=body)["agent"]

    assert (agent["template"], agent["variables"]) == (None, {})
    assert agent["name"] == "Ada"
    seen = bob.letta("GET", f"/agents/{agent['id']}").json()
    assert blocks(seen)["human"] == "Name: Ann. Likes tea."


def test_notices_what_got_lost_on_the_way(alice: Caller, lived: dict[str, Any]) -> None:
    file = export(alice, lived)
    file["agent"]["body"]["system"] = "You help Bob."

    body = {"file": file, "variables": {"search_key": "exa-new"}}
    answer = alice("POST", "/agents/import", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/file/checksum")

    del file["checksum"]
    assert alice("POST", "/agents/import", json=body).status_code == 201


def test_refuses_a_file_of_more_values_than_an_agent_has(alice: Caller) -> None:
    body = b'{"file": [' + b"{}," * (5 * 2**20) + b"{}]}"
    answer = alice("POST", "/agents/import", content=body, headers=_JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "caller_request_malformed")


def test_takes_a_file_of_as_many_values_as_an_agent_may_have(alice: Caller) -> None:
    at = "2026-11-23T10:00:00+00:00"
    content = [{"type": "text", "text": "Grass is green."}]
    messages = [{"role": "user", "content": content, "created_at": at}] * 10_000
    passages = [{"text": "The sky is blue.", "created_at": at}] * 33_000
    agent = {"body": {}, "passages": passages, "messages": messages}
    file = {"format": "gateway-agent", "format_version": 1, "agent": agent, "checksum": "0" * 64}

    answer = alice("POST", "/agents/import", json={"file": file})

    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/file/checksum")


def test_asks_for_the_secrets_that_are_in_no_file(alice: Caller, lived: dict[str, Any]) -> None:
    answer = alice("POST", "/agents/import", json={"file": export(alice, lived)})

    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/variables/search_key")


def test_numbers_may_lose_their_point_on_the_way(alice: Caller, lived: dict[str, Any]) -> None:
    file = export(alice, lived)
    settings = file["agent"]["body"].setdefault("model_settings", {})
    settings["temperature"] = 1.0
    file["checksum"] = checksum(file["agent"])
    settings["temperature"] = 1
    body = {"file": file, "variables": {"search_key": "exa-new"}}

    assert alice("POST", "/agents/import", json=body).status_code == 201


_JSON = {"content-type": "application/json"}
SECRETS = {"search_key": "exa-new"}
ATTACKS: list[dict[str, Any]] = [
    {"body": {"llm_config": {"model_endpoint": "http://evil"}}},
    {"body": {"embedding_config": {"embedding_endpoint": "http://evil"}}},
    {"body": {"secrets": {"A": "b"}}},
    {"body": {"tool_exec_environment_variables": {"A": "b"}}},
    {"body": {"tools": ["run_code"]}},
    {"body": {"project_id": "x"}},
    {"body": {"source_code": "import os"}},
    {"body": {"memory_blocks": [{"label": "x", "value": "y", "id": "block-1"}]}},
    {"messages": [{"role": "user", "content": [{"type": "image", "source": {"url": "http://x"}}]}]},
    {"messages": [{"role": "user", "content": "x", "agent_id": "agent-1"}]},
    {"passages": [{"text": "x", "archive_id": "archive-1"}]},
]


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_file_brings_nothing_that_a_caller_may_not_send(
    alice: Caller,
    lived: dict[str, Any],
    attack: dict[str, Any],
    letta: Running,
    in_letta: InLetta,
) -> None:
    file = export(alice, lived)
    del file["checksum"]
    content = file["agent"]
    content["body"] |= attack.get("body", {})
    content |= {name: value for name, value in attack.items() if name != "body"}

    answer = alice("POST", "/agents/import", json={"file": file, "variables": SECRETS})

    assert answer.status_code in {403, 422}, answer.text
    assert "search_key" not in answer.text
    assert letta.client.get("/_sandbox/executed").json() == []
    assert in_letta.ids() == [lived["id"]]
    assert len(rows()) == 1


@pytest.mark.parametrize(
    "own", [{"block_ids": "blocks"}, {"folder_ids": "folders"}, {"source_ids": "folders"}]
)
def test_a_file_brings_nothing_of_others(
    alice: Caller, bob: Caller, lived: dict[str, Any], own: dict[str, str], in_letta: InLetta
) -> None:
    file = export(alice, lived)
    del file["checksum"]
    ((member, collection),) = own.items()
    if collection == "folders":
        folder = {"name": "docs", "embedding": "openai/text-embedding-3-small"}
        foreign = alice.letta("POST", "/folders/", json=folder).json()["id"]
    else:
        foreign = in_letta.ids("blocks")[0]
    file["agent"]["body"][member] = [foreign]

    assert bob("POST", "/agents/import", json={"file": file}).status_code == 404
    assert len(rows()) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b'{"file": {"format": "other", "format_version": 1, "agent": {"body": {}}}}', 422),
        (b'{"file": {"format": "gateway-agent", "format_version": 2, "agent": {}}}', 422),
        (b'{"file": {"format": "gateway-agent", "format_version": 1, "agent": {"body": 1}}}', 422),
        (b'{"file": ' + b"[" * 600 + b"]" * 600 + b"}", 400),
    ],
)
def test_refuses_what_is_no_export(alice: Caller, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    answer = alice("POST", "/agents/import", content=body, headers=headers)

    assert answer.status_code == status
    assert rows() == []


def test_refuses_a_file_that_is_too_large(alice: Caller, settings: Any) -> None:
    settings.MAX_AGENT_FILE_BYTES = 1000
    headers = {"content-type": "application/json"}

    answer = alice("POST", "/agents/import", content=b"x" * 1001, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (413, "caller_body_too_large")
