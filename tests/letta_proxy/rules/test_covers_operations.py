"""Which operations a pattern is about, and which patterns are about none."""

from __future__ import annotations

import pytest

from letta_proxy.catalogue import CATALOGUE
from letta_proxy.rules.coverage import complaint, covered
from letta_proxy.rules.patterns import letta_path, normalised

_AGENT = "agent-6f1c0000-0000-4000-8000-000000000001"


def names(method: str, pattern: str) -> list[str]:
    return [one.operation.name for one in covered(method, pattern)]


@pytest.mark.parametrize(
    ("method", "pattern", "operations"),
    [
        ("POST", "/agents/*/messages", ["send_message"]),
        ("", "/agents/*/messages", ["list_messages", "send_message"]),
        ("DELETE", "/agents/*", ["delete_agent"]),
        ("GET", "/agents", ["list_agents"]),
        ("POST", "/*/*/upload", ["upload_file_to_folder", "upload_file_to_source"]),
        ("DELETE", f"/agents/{_AGENT}", ["delete_agent"]),
        ("POST", "/conversations/default/**", names("POST", "/conversations/*/**")),
        ("POST", "/agents/**/recompile", ["recompile_agent", "recompile_agent_system_prompt"]),
        ("POST", "/chat/completions", ["create_chat_completion"]),
    ],
)
def test_covers(method: str, pattern: str, operations: list[str]) -> None:
    assert names(method, pattern) == operations


def test_two_stars_stand_for_no_segment_too() -> None:
    below = {one.name for one in CATALOGUE.operations if one.path.startswith("/agents")}

    assert set(names("", "/agents/**")) == {
        one.name for one in CATALOGUE.operations if one.name in below and one.is_offered
    }
    assert len(covered("", "/**")) == sum(one.is_offered for one in CATALOGUE.operations)


def test_says_which_thing_a_pattern_is_limited_to() -> None:
    (one,) = covered("GET", f"/agents/{_AGENT}/core-memory/blocks/persona")

    assert one.where == {"agent_id": _AGENT, "block_label": "persona"}
    assert str(one).endswith(f"where agent_id is {_AGENT}, block_label is persona")


@pytest.mark.parametrize(
    ("method", "pattern", "words"),
    [
        ("", "agents", "Begin with a slash"),
        ("", "/agents//messages", "empty"),
        ("", "/agents/%2e%2e", "dotted"),
        ("", "/agents/a%2Fb", "ambiguously"),
        ("", "/agents/a;b", "semicolons"),
        ("", "/agents/agent-*", "whole segments"),
        ("", "/**/agents/**", "once at the most"),
        ("", "/agents/messages", "Close to it: /agents/*/messages"),
        ("", "/Agents/*", "Close to it: /agents/*"),
        ("", "/nothing/like/it/at/all", "/docs"),
        ("PUT", "/agents/*", "with DELETE, GET, PATCH only"),
        ("", "/mcp-servers/**", "as not offered"),
        ("GET", "/agents/count", "as not offered"),
        ("", "/agents/*/core-memory/blocks/attach", "Nothing that is offered"),
    ],
)
def test_says_why_a_pattern_could_never_match(method: str, pattern: str, words: str) -> None:
    assert words in complaint(method, pattern)


@pytest.mark.parametrize(
    "text",
    [
        "/agents/{agent_id}/messages",
        "/v1/agents/*/messages/",
        " /api/v1/letta/v1/agents/*/messages",
        "/api/v1/letta/agents/*/messages",
    ],
)
def test_brings_every_spelling_into_one_form(text: str) -> None:
    assert normalised(text) == "/agents/*/messages"


def test_takes_a_prefix_off_whole_and_once() -> None:
    assert letta_path("/v1/v1/agents") == "/v1/agents"
    assert letta_path("/v10/agents") == "/v10/agents"
    assert letta_path("/v1") == "/"
