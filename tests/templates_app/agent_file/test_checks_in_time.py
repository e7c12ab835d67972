"""Schemas that are made to keep a process busy."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from templates_app.agent_file import schemas
from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import fill
from templates_app.agent_file.schemas import faults
from templates_app.agent_file.validation import validate

_SECONDS = 10  # of which the slowest takes one


def file_with(**variables: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": variables}
    return {
        "af_version": "1.0",
        "template": {"name": "busy", "version": "1.0.0"},
        "engine": {"model": "m"},
        "persona": {"system_prompt": "Hi", "variables_schema": schema},
    }


def evaluated_again_and_again(levels: int) -> Any:
    """Each level is looked at three times by the one around it."""
    schema: Any = {"type": "object"}
    for _ in range(levels):
        schema = {"if": schema, "unevaluatedProperties": True}
    return schema


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (evaluated_again_and_again(26), {"a": 1}),
        ({"items": {"enum": [[number] for number in range(900)]}}, [[-1]] * 9_000),
        ({"items": {"allOf": [{"type": "integer"}] * 900}}, [0] * 19_000),
        ({"items": {"properties": {str(n): True for n in range(1_900)}}}, [{}] * 19_000),
    ],
    ids=["unevaluated", "enum", "allOf", "properties"],
)
def test_gives_up_on_values_that_take_forever_to_check(schema: Any, value: Any) -> None:
    document = file_with(x=schema)
    assert validate(document).is_valid
    begun = time.thread_time()

    with pytest.raises(FaultsFound) as caught:
        fill(document, {"x": value}, at="/variables")

    (fault,) = caught.value.faults
    assert (fault.pointer, "in time" in fault.message) == ("/variables", True)
    assert time.thread_time() - begun < _SECONDS


def test_gives_up_on_defaults_that_take_forever_to_check() -> None:
    busy = {**evaluated_again_and_again(24), "default": {"a": 1}}
    begun = time.thread_time()

    (fault,) = validate(file_with(**{f"x{number}": busy for number in range(20)})).faults

    assert fault.pointer == "/persona/variables_schema/properties"
    assert "in time" in fault.message
    assert time.thread_time() - begun < _SECONDS


def test_gives_up_after_a_few_thousand_items() -> None:
    """Whoever is checked for holds the interpreter, which everybody else waits for."""

    def seconds(schema: Any, items: int) -> float:
        begun = time.thread_time()
        faults({"items": schema}, [0] * items)
        return time.thread_time() - begun

    usual = min(seconds({"type": "integer"}, 5_000) for _ in range(3))
    assert (
        min(seconds({"allOf": [{"type": "integer"}] * 200}, 5_000) for _ in range(3)) < 15 * usual
    )


def test_checks_one_file_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = threading.Lock()
    overlaps: list[bool] = []

    def complain(_error: Any) -> str:
        is_alone = alone.acquire(blocking=False)
        overlaps.append(not is_alone)
        time.sleep(0.02)
        if is_alone:
            alone.release()
        return "is wrong"

    monkeypatch.setattr(schemas, "_complaint", complain)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: faults({"type": "string"}, 1), range(4)))
    assert overlaps == [False] * 4


def test_takes_no_schema_that_takes_long_to_read() -> None:
    begun = time.thread_time()
    (fault,) = validate(file_with(x={"allOf": [{}] * 19_000})).faults

    assert (fault.pointer, fault.message) == (
        "/persona/variables_schema",
        "must have at most 2000 values",
    )
    assert time.thread_time() - begun < _SECONDS


def test_looks_for_items_that_are_there_twice_in_time() -> None:
    tools = [number if number % 2 else str(number) for number in range(19_000)]
    begun = time.thread_time()

    assert not validate({**file_with(), "tools": tools}).is_valid
    assert time.thread_time() - begun < _SECONDS


@pytest.mark.parametrize(
    ("items", "is_unique"),
    [
        ([], True),
        ([1, 2, "1", True, None, [1], {"a": 1}], True),
        ([0, False], True),
        ([1, 1.0], False),
        ([{"a": 1, "b": [2]}, {"b": [2], "a": 1}], False),
        (["x", "y", "x"], False),
    ],
)
def test_tells_items_apart_as_json_schema_does(items: Any, *, is_unique: bool) -> None:
    assert (faults({"uniqueItems": True}, items) == []) == is_unique
    assert faults({"uniqueItems": False}, items) == []


def test_checks_a_default_where_it_stands() -> None:
    (fault,) = validate(
        file_with(x={"type": "array", "items": {"type": "string"}, "default": ["a", 1]})
    ).faults

    assert fault.pointer == "/persona/variables_schema/properties/x/default/1"


@pytest.mark.parametrize("within", ["properties", "allOf"])
def test_takes_no_secret_within_a_variable_for_nobody_would_keep_it(within: str) -> None:
    secret = {"type": "string", "x-secret": True}
    inner: Any = {"key": secret} if within == "properties" else [secret]

    (fault,) = validate(file_with(x={within: inner})).faults

    assert fault.pointer.endswith("/x-secret")
    assert "whole variables" in fault.message
