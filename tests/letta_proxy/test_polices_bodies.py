from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import (
    FieldForbidden,
    FieldInvalid,
    GatewayError,
    ResourceNotFound,
)
from gateway_core.problem import encode
from letta_proxy.models import Kind
from letta_proxy.ownership import Claim
from letta_proxy.policy.bodies import agents, conversations, folders, memory, messages, runs
from letta_proxy.policy.bounds import refuse_unwieldy
from letta_proxy.policy.content import Content
from letta_proxy.policy.demands import Demands
from letta_proxy.policy.rules import Each, Fields, Id, Refused, Rule, Text, ids


def admit(rule: Rule, value: Any) -> tuple[Any, Demands]:
    demands = Demands()
    return rule.admit(value, "", demands), demands


def test_forwards_what_is_known_as_it_is() -> None:
    body = {"name": "Ada", "model": "openai-proxy/stub-chat", "tags": ["a"], "system": None}

    assert admit(agents.CREATE, body)[0] == body


def test_notes_every_id() -> None:
    body = {"block_ids": ["block-1", "block-2"], "source_ids": ["source-1"], "tool_ids": ["tool-1"]}

    _, demands = admit(agents.UPDATE, body)

    assert demands.claims == {
        Claim(Kind.BLOCK, "block-1"),
        Claim(Kind.BLOCK, "block-2"),
        Claim(Kind.FOLDER, "source-1"),
    }
    assert demands.tools == {"tool-1": "/tool_ids/0"}


@pytest.mark.parametrize("empty", [None, [], {}, "", False])
def test_drops_a_forbidden_field_that_says_nothing(empty: Any) -> None:
    assert admit(agents.CREATE, {"name": "Ada", "llm_config": empty})[0] == {"name": "Ada"}


@pytest.mark.parametrize(
    ("rule", "body", "pointer"),
    [
        (agents.CREATE, {"nonsense": 1}, "/nonsense"),
        (agents.CREATE, {"a/b~c": 1}, "/a~1b~0c"),
        (agents.CREATE, {"llm_config": {"a": 1}}, "/llm_config"),
        (agents.UPDATE, {"message_ids": ["message-1"]}, "/message_ids"),
        (messages.SEND, {"messages": [{"role": "user"}, {"x": 1}]}, "/messages/1/x"),
        (folders.CREATE, {"embedding_config": {"a": 1}}, "/embedding_config"),
        (runs.RESUME, {"otid": "x"}, "/otid"),
        (agents.EXPORT, {"skills": [{"name": "x"}]}, "/skills"),
    ],
)
def test_refuses_a_field_with_a_pointer_to_it(
    rule: Rule, body: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(FieldForbidden) as caught:
        admit(rule, body)

    assert caught.value.param == pointer


@pytest.mark.parametrize(
    ("rule", "body", "pointer"),
    [
        (agents.CREATE, [], ""),
        (agents.CREATE, "x", ""),
        (agents.CREATE, {"block_ids": "block-1"}, "/block_ids"),
        (agents.CREATE, {"block_ids": [1]}, "/block_ids/0"),
        (agents.CREATE, {"block_ids": ["x"] * 101}, "/block_ids"),
        (agents.CREATE, {"tools": [{"name": "x"}]}, "/tools/0"),
        (agents.CREATE, {"model": {"model_endpoint": "x"}}, "/model"),
        (agents.CREATE, {"memory_blocks": {"label": "x"}}, "/memory_blocks"),
        (messages.SEND, {"max_steps": 51}, "/max_steps"),
        (messages.SEND, {"max_steps": 1.5}, "/max_steps"),
        (messages.SEND, {"messages": "hi"}, "/messages"),
        (messages.CANCEL, {"run_ids": "run-1"}, "/run_ids"),
        (memory.PASSAGE_SEARCH, {"query": "x"}, "/agent_id"),
        (memory.PASSAGE_SEARCH, {"query": "x", "agent_id": ""}, "/agent_id"),
        (messages.CHAT_COMPLETION, {"messages": []}, "/model"),
        (agents.CREATE, {"system": "{CORE_MEMORY}" * 1000}, "/system"),
        (agents.UPDATE, {"system": "{CORE_MEMORY} {CORE_MEMORY}"}, "/system"),
        (agents.UPDATE, {"system": "a\0"}, "/system"),
        (agents.UPDATE, {"system": ["{CORE_MEMORY}"]}, "/system"),
        (memory.BLOCK, {"value": "x" * 100_001}, "/value"),
        (memory.BLOCK, {"value": ["x"]}, "/value"),
        (memory.BLOCK, {"label": "a\0"}, "/label"),
        (memory.BLOCK, {"limit": 100_001}, "/limit"),
        (memory.BLOCK, {"limit": -1}, "/limit"),
        (memory.BLOCK, {"limit": "5"}, "/limit"),
        (agents.UPDATE, {"context_window_limit": 2**31}, "/context_window_limit"),
        (agents.UPDATE, {"context_window_limit": 1e20}, "/context_window_limit"),
        (agents.CREATE, {"max_files_open": 2**63}, "/max_files_open"),
        (agents.CREATE, {"max_tokens": True}, "/max_tokens"),
        (folders.CREATE, {"embedding_chunk_size": 0}, "/embedding_chunk_size"),
        (
            conversations.CREATE,
            {"model_settings": {"max_output_tokens": 2**31}},
            "/model_settings/max_output_tokens",
        ),
        (memory.PASSAGE_SEARCH, {"agent_id": "agent-1", "limit": 2**64}, "/limit"),
    ],
)
def test_refuses_a_value_with_a_pointer_to_it(rule: Rule, body: Any, pointer: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        admit(rule, body)

    assert caught.value.param == pointer
    assert caught.value.errors[0]["pointer"] == pointer


@pytest.mark.parametrize("name", ["Ada", "Ada Lovelace-2_x", "Ünïcödé 名", "o'neil", None])
def test_takes_a_name_that_letta_takes(name: str | None) -> None:
    assert admit(agents.CREATE, {"name": name})[0] == {"name": name}


@pytest.mark.parametrize("name", ["a.b", "a/b", "a:b", "", "a\n", "<a>", "a\x00"])
def test_refuses_a_name_before_letta_fails_on_it(name: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        admit(agents.CREATE, {"name": name})

    assert caught.value.param == "/name"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
wrappers = st.lists(st.sampled_from(["list", "content", "x"]), max_size=6)


@given(wrappers=wrappers, url=st.text().filter(lambda url: not url.startswith("data:")))
def test_finds_an_address_however_deep(wrappers: list[str], url: str) -> None:
    value: Any = {"type": "image", "source": {"type": "url", "url": url}}
    for wrapper in wrappers:
        value = [value] if wrapper == "list" else {wrapper: value}

    with pytest.raises(FieldForbidden):
        admit(Content(), value)


@given(value=json_values)
def test_either_passes_or_refuses_any_body(value: Any) -> None:
    for rule in (agents.CREATE, messages.SEND, messages.CHAT_COMPLETION):
        try:
            admitted, _ = admit(rule, value)
        except (FieldForbidden, FieldInvalid):
            continue
        assert admitted is None or isinstance(admitted, dict)


def test_refuses_content_that_is_nested_without_end() -> None:
    value: Any = "x"
    for _ in range(40):
        value = [value]

    with pytest.raises(FieldInvalid, match="nested"):
        admit(Content(), value)


@given(keys=st.dictionaries(st.text(), st.integers(), min_size=1))
def test_never_lets_an_undeclared_field_through(keys: dict[str, int]) -> None:
    rule = Fields(fields={"known": Text(), "ids": ids(Kind.AGENT), "not": Refused("Don't.")})

    if set(keys) - {"known", "ids", "not"}:
        with pytest.raises(GatewayError):
            admit(rule, keys)


def test_notes_ids_in_lists_of_objects() -> None:
    rule = Each(Fields(fields={"agent": Id(Kind.AGENT)}))

    _, demands = admit(rule, [{"agent": "agent-1"}, {"agent": None}, {}])

    assert demands.claims == {Claim(Kind.AGENT, "agent-1")}


def chained(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"k" * 257: 1}, "name of more than 256 characters"),
        ({"messages": [{"content": [{"k" * 4_000_000: [0] * 3000}]}]}, "name of more than 256"),
        ({"metadata": chained(64)}, "nested too deeply"),
        ({"metadata": chained(1000)}, "nested too deeply"),
        ({"messages": [0] * 100_000}, "at most 100000 values"),
        ({"metadata": [[0] * 1000] * 100}, "at most 100000 values"),
        ({"metadata": {"a": ["\0"]}}, "NUL"),
        ({"metadata": {"a\0": 1}}, "NUL"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_an_unwieldy_body(body: Any, match: str) -> None:
    with pytest.raises(FieldInvalid, match=match) as caught:
        refuse_unwieldy(body)

    assert len(caught.value.detail) < 200
    assert len(caught.value.param or "") <= 80


@pytest.mark.parametrize(
    "body", [None, "x", {}, {"k" * 256: 1}, {"metadata": chained(63)}, {"messages": [0] * 99_000}]
)
def test_takes_a_body_that_is_merely_large(body: Any) -> None:
    refuse_unwieldy(body)


def test_looks_through_content_in_time_that_grows_with_it_alone() -> None:
    key = "k" * 4_000_000

    started = time.thread_time()
    admit(Content(), [{key: [0] * 3000}])

    assert time.thread_time() - started < 0.1


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        (agents.CREATE, {"a" * 900_000: 1}),
        (agents.CREATE, {"tools": ["t" * 900_000]}),
        (messages.SEND, {"input": {"~" * 900_000: {"image_url": "http://x"}}}),
    ],
)
def test_repeats_little_of_what_it_refuses(rule: Rule, body: Any) -> None:
    with pytest.raises(FieldForbidden) as caught:
        admit(rule, body)

    assert len(encode(caught.value, "r")) < 2000
    assert len(caught.value.param or "") <= 80


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        (agents.CREATE, {"system": "You are Ada. {CORE_MEMORY} Be kind."}),
        (memory.BLOCK, {"value": "x" * 100_000, "limit": 100_000}),
        (memory.BLOCK, {"value": "", "limit": 0}),
        (memory.BLOCK, {"value": None, "limit": None}),
    ],
)
def test_takes_a_prompt_and_a_block_as_large_as_letta_makes_them(rule: Rule, body: Any) -> None:
    assert admit(rule, body)[0] == body


@pytest.mark.parametrize("value", ["", "a\0b", "agent-1/..", "agent 1", "ä", "a" * 129, "x\n"])
def test_finds_nothing_by_what_is_no_id(value: str) -> None:
    for kind in (Kind.AGENT, Kind.TOOL):
        with pytest.raises(ResourceNotFound):
            admit(Id(kind), value)


def test_takes_numbers_that_letta_can_hold_and_any_that_it_keeps_as_json() -> None:
    body = {
        "context_window_limit": 2**31 - 1,
        "max_tokens": None,
        "model_settings": {"temperature": 0.5, "max_output_tokens": 4096},
        "metadata": {"n": 2**63},
    }
    assert admit(agents.UPDATE, body)[0] == body
