from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import MOST_CHARACTERS, fill
from templates_app.agent_file.validation import validate
from templates_app.agent_file.variables import secret_names
from tests.templates_app.files import agent_file, with_prompt

_VALUES = {"user_name": "Alice", "api_key": "sk-12345678"}


def faults(document: dict[str, Any], **values: Any) -> dict[str, str]:
    with pytest.raises(FaultsFound) as caught:
        fill(document, values, at="/variables")
    return {fault.pointer: fault.message for fault in caught.value.faults}


def test_puts_values_into_every_text() -> None:
    filled = fill(agent_file(), _VALUES).document

    assert filled["persona"]["system_prompt"] == "You help Alice in a kind tone."
    assert filled["memory_layout"]["blocks"][0]["value"] == "Name: Alice"
    assert filled["init_messages"][0]["content"] == "Hello, Alice."
    assert filled["tool_env"] == {"API_KEY": "sk-12345678"}


def test_leaves_the_file_and_what_is_about_the_template_alone() -> None:
    document = agent_file(template={"name": "x", "version": "1.0.0", "description": "{{tone}}"})
    before = json.dumps(document)
    filled = fill(document, _VALUES).document

    assert json.dumps(document) == before
    assert filled["template"] == document["template"]
    assert filled["persona"]["variables_schema"] == document["persona"]["variables_schema"]


def test_knows_blanks_around_a_name() -> None:
    document = with_prompt("{{x}} {{ x }} {{\tx\n}}", x={})

    assert fill(document, {"x": "1"}).document["persona"]["system_prompt"] == "1 1 1"


def test_fills_in_the_model() -> None:
    document = with_prompt("Hello.", model={"type": "string"})
    document["engine"] = {"model": "{{model}}"}
    assert validate(document).is_valid

    assert fill(document, {"model": "openai-proxy/x"}).document["engine"]["model"] == (
        "openai-proxy/x"
    )
    assert list(faults(document, model="http://169.254.169.254/")) == ["/variables"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.5, "1.5"), (True, "true"), (None, "null"), (["ä", 1], '["ä", 1]'), ({}, "{}")],
)
def test_writes_other_values_as_json(value: Any, text: str) -> None:
    filled = fill(with_prompt("{{x}}", x={}), {"x": value}).document

    assert filled["persona"]["system_prompt"] == text


def test_uses_defaults_for_absent_values_only() -> None:
    assert fill(agent_file(), _VALUES).values == {**_VALUES, "tone": "kind"}
    assert fill(agent_file(), {**_VALUES, "tone": "brisk"}).values["tone"] == "brisk"


def test_says_of_each_value_what_is_wrong_with_it() -> None:
    assert faults(agent_file(), tone="rude", api_key="short", stranger=1) == {
        "/variables/api_key": "must have at least 8 characters",
        "/variables/stranger": "is no variable of this template",
        "/variables/tone": 'must be one of "kind", "brisk"',
        "/variables/user_name": "is required",
    }


def test_wants_every_variable_that_is_used_though_its_schema_does_not() -> None:
    document = with_prompt("{{x}}", x={"type": "string"}, y={"type": "string"})

    assert faults(document) == {"/variables/x": "is required"}


@pytest.mark.parametrize(
    ("schema", "value", "complaint"),
    [
        ({"type": "string"}, None, "must be a text"),
        ({"type": ["string", "null"]}, 1, "must be a text or null"),
        ({"type": "string", "format": "email"}, "nobody", "must be a valid email"),
        ({"pattern": "^[a-z]+$"}, "abc\n", "must match ^[a-z]+$"),
        ({"pattern": "^x", "x-complaint": "must begin with x"}, "y", "must begin with x"),
        ({"type": "integer", "maximum": 3}, 4, "must be at most 3"),
        ({"multipleOf": 2}, 3, "must be a multiple of 2"),
        ({"not": {"const": 1}}, 1, "does not fit not of its schema"),
        ({"const": {"a": 1}}, 1, 'must be one of {"a": 1}'),
    ],
)
def test_checks_values_by_their_schemas(schema: Any, value: Any, complaint: str) -> None:
    assert faults(with_prompt("{{x}}", x=schema), x=value) == {"/variables/x": complaint}


def test_points_into_values_that_are_objects() -> None:
    schema = {"properties": {"a": {"items": {"required": ["b"]}}}, "additionalProperties": False}

    assert set(faults(with_prompt("{{x}}", x=schema), x={"a": [{}], "c": 1})) == {
        "/variables/x/a/0/b",
        "/variables/x/c",
    }


def test_is_not_kept_busy_by_a_pattern() -> None:
    document = with_prompt("{{x}}", x={"pattern": "^(a+)+$", "allOf": [{"pattern": "(a|a)*$"}]})
    assert validate(document).is_valid
    begun = time.thread_time()

    assert faults(document, x="a" * 50_000 + "!")
    assert time.thread_time() - begun < 2


def test_repeats_no_value_in_its_messages() -> None:
    secret = {"type": "integer", "x-secret": True, "enum": [1], "maxLength": 3, "pattern": "z"}
    document = with_prompt("Hello.", x=secret)

    assert "hush" not in json.dumps(faults(document, x="hush-hush"))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("x" * 2001, "at most 2000 characters"),
        ("{CORE_MEMORY}{CORE_MEMORY}", "{CORE_MEMORY} once only"),
    ],
)
def test_looks_at_the_file_again_when_it_is_filled(value: str, complaint: str) -> None:
    document = agent_file()
    document["persona"]["variables_schema"]["properties"]["user_name"] = {}
    found = faults(document, **{**_VALUES, "user_name": value})

    assert complaint in found["/variables"]
    assert value not in found["/variables"]


def test_makes_no_file_that_is_too_large() -> None:
    document = with_prompt("{{x}}" * 20_000, x={})
    begun = time.thread_time()

    assert str(MOST_CHARACTERS) in faults(document, x="x" * 1000)["/variables"]
    assert time.thread_time() - begun < 2


@pytest.mark.parametrize("value", ["\0", 2**53, ["\ud800"], {"x" * 300: 1}])
def test_refuses_values_that_can_not_be_kept_as_they_are(value: Any) -> None:
    (pointer,) = faults(with_prompt("{{x}}", x={}), x=value)

    assert pointer.startswith("/variables/x")


def test_goes_no_deeper_into_values_than_into_files() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]

    assert "deep" in faults(with_prompt("{{x}}", x={}), x=value)["/variables"]


def test_counts_the_texts_of_the_file_with_the_values() -> None:
    document = with_prompt("x" * 60_000 + "{{x}}", x={})

    assert str(MOST_CHARACTERS) in faults(document, x="y" * 950_000)["/variables"]


def test_knows_the_secrets() -> None:
    assert secret_names(agent_file()) == {"api_key"}
    assert secret_names({"persona": {"variables_schema": {"properties": {"x": True}}}}) == set()


def test_shows_no_values_of_what_is_filled() -> None:
    assert "sk-12345678" not in repr(fill(agent_file(), _VALUES))


_TEXT = st.text(st.sampled_from("ab {}{}xy\\"), max_size=40)
_LITERAL = _TEXT.filter(lambda text: not validate(with_prompt(f"_{text}")).faults)


@given(_LITERAL)
def test_changes_nothing_where_no_variable_is_used(text: str) -> None:
    filled = fill(with_prompt(f"_{text}"), {}).document

    assert filled["persona"]["system_prompt"] == f"_{text}"


@given(st.lists(st.sampled_from(["a", "b", "{{x}}", "{{y}}", " {", "} "])), _TEXT, _TEXT)
def test_puts_each_value_in_once_whatever_it_looks_like(
    parts: list[str], first: str, second: str
) -> None:
    document = with_prompt("_" + "".join(parts), x={}, y={})
    filled = fill(document, {"x": first, "y": second}).document

    expected = [{"{{x}}": first, "{{y}}": second}.get(part, part) for part in parts]
    assert filled["persona"]["system_prompt"] == "_" + "".join(expected)


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), st.none() | st.integers(-99, 99) | _TEXT))
def test_fills_or_says_what_is_missing_and_unknown(values: dict[str, Any]) -> None:
    document = with_prompt("_{{x}}{{y}}", x={}, y={"default": 1})
    wrong = ({"x"} - set(values)) | (set(values) - {"x", "y"})

    if wrong:
        assert set(faults(document, **values)) == {f"/variables/{name}" for name in wrong}
    else:
        assert fill(document, values).values == {"y": 1, **values}
