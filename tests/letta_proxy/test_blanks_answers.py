from __future__ import annotations

from typing import Any

import pytest

from letta_proxy.catalogue import CATALOGUE, shapes
from letta_proxy.pointers import places, values
from letta_proxy.reshape import blank, created
from tests.conftest import Running
from tests.letta_proxy.conftest import Belongings, Caller

ENDPOINTS = ("model_endpoint", "embedding_endpoint")


def strings_under(document: Any, names: tuple[str, ...]) -> list[Any]:
    """Return all that stands under these names, however deep, and is neither null nor empty."""
    if isinstance(document, list):
        return [found for item in document for found in strings_under(item, names)]
    if not isinstance(document, dict):
        return []
    here = [document[name] for name in names if document.get(name)]
    return here + [found for item in document.values() for found in strings_under(item, names)]


def test_shows_no_address_and_no_code(alice: Caller, of_alice: Belongings) -> None:
    alice("PATCH", f"/agents/{of_alice.agent_id}/folders/attach/{of_alice.folder_id}")
    for path in (
        "/agents/",
        f"/agents/{of_alice.agent_id}",
        f"/agents/{of_alice.agent_id}/export",
        f"/agents/{of_alice.agent_id}/tools",
        f"/agents/{of_alice.agent_id}/folders",
        f"/agents/{of_alice.agent_id}/sources",
        f"/agents/{of_alice.agent_id}/archival-memory",
        f"/blocks/{of_alice.block_id}/agents",
        "/archives/",
        f"/archives/{of_alice.archive_id}",
        f"/archives/{of_alice.archive_id}/agents",
        "/folders/",
        f"/folders/{of_alice.folder_id}",
        f"/folders/{of_alice.folder_id}/passages",
        "/models/",
        "/models/embedding",
        f"/runs/{of_alice.run_id}/steps",
        f"/steps/{of_alice.step_id}",
        f"/steps/{of_alice.step_id}/trace",
        "/tools/",
        f"/tools/{of_alice.tool_id}",
    ):
        document = alice.get(path)

        assert document, path
        assert (path, "gws_" in str(document)) == (path, False)
        assert (path, strings_under(document, (*ENDPOINTS, "source_code", "api_key"))) == (path, [])


def test_shows_no_address_in_what_is_new(alice: Caller) -> None:
    agent = alice.create_agent()
    patched = alice("PATCH", f"/agents/{agent['id']}", json={"description": "x"}).json()

    assert strings_under([agent, patched], (*ENDPOINTS, "source_code")) == []
    assert agent["llm_config"]["model"] == "stub-chat"
    assert agent["llm_config"]["model_endpoint"] is None
    assert agent["tools"][0]["json_schema"]


@pytest.mark.parametrize("query", ["", "?include_embeddings=false"])
def test_leaves_vectors_out(alice: Caller, of_alice: Belongings, query: str) -> None:
    (passage,) = alice.get(f"/agents/{of_alice.agent_id}/archival-memory{query}")

    assert (passage["text"], passage["embedding"]) == ("sky", [])


def test_gives_vectors_to_who_asks(alice: Caller, letta: Running, of_alice: Belongings) -> None:
    (passage,) = alice.get(f"/agents/{of_alice.agent_id}/archival-memory?include_embeddings=true")

    assert len(passage["embedding"]) > 1
    assert "include_embeddings" not in letta.requests("archival-memory$")[-1]["query"]


def test_blanks_secrets_and_keeps_their_names() -> None:
    variable = {"key": "TOKEN", "value": "hush", "value_enc": "hush", "agent_id": "agent-1"}
    agent = {
        "secrets": [dict(variable)],
        "tool_exec_environment_variables": [dict(variable)],
        "metadata": {"value": "kept", "source_code": "kept"},
        "tools": [{"name": "t", "source_code": "def t(): ..."}],
    }

    blank(shapes.AGENT, agent, with_vectors=False)

    without_value = {"key": "TOKEN", "value": "", "value_enc": None, "agent_id": "agent-1"}
    assert agent["secrets"] == agent["tool_exec_environment_variables"] == [without_value]
    assert agent["metadata"] == {"value": "kept", "source_code": "kept"}
    assert agent["tools"] == [{"name": "t", "source_code": None}]


@pytest.mark.parametrize(
    ("document", "pattern", "found"),
    [
        ({"a": {"b": 1}}, "/a/b", [1]),
        ({"a": [{"b": 1}, {"c": 2}, {"b": 3}]}, "/a/*/b", [1, 3]),
        ([{"b": 1}], "/*/b", [1]),
        ({"a": ["x", "y"]}, "/a/*", ["x", "y"]),
        ({"a": None}, "/a/*/b", []),
        ({"a": "text"}, "/a/*", []),
        (None, "/a", []),
        ("text", "/*/a", []),
    ],
)
def test_finds_the_places_of_a_pattern(document: Any, pattern: str, found: list[Any]) -> None:
    assert values(document, pattern) == found
    assert len(list(places(document, pattern))) == len(found)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"id": 3}, {"id": None, "blocks": None}])
def test_records_nothing_of_an_answer_that_is_none(document: Any) -> None:
    operation, _ = CATALOGUE.match("POST", ("agents",))

    assert created(operation, document) == []
