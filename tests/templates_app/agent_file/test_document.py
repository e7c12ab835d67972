"""The document of the format tells the truth."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from templates_app.agent_file import bounds, filling
from templates_app.agent_file.filling import fill
from templates_app.agent_file.loading import load
from templates_app.agent_file.validation import validate

_CHECKOUT = Path(__file__).resolve().parents[3]
_TEXT = (_CHECKOUT / "docs" / "AGENT_FILE.md").read_text("utf-8")
_SCHEMA = json.loads((_CHECKOUT / "templates_app/agent_file/schema.json").read_text("utf-8"))


@pytest.fixture
def example() -> Any:
    (text,) = re.findall(r"```yaml\n(.*?)```", _TEXT, re.DOTALL)
    return load(text.encode(), max_bytes=100_000).document


def test_shows_a_valid_file_that_uses_every_section(example: Any) -> None:
    report = validate(example)

    assert (report.faults, report.warnings) == ((), ())
    assert list(example) == list(_SCHEMA["properties"])


def test_shows_a_file_that_can_be_filled(example: Any) -> None:
    values = {"shop_name": "Tea", "customer_name": "Al", "orders_api_key": "k" * 16}
    filled = fill(example, values).document

    assert filled["init_messages"][0]["content"] == "Hello Al, how can I help?"
    assert "friendly" in filled["persona"]["system_prompt"]


def _fields(schema: Any) -> set[str]:
    found: set[str] = set()
    for name, inner in schema.get("properties", {}).items():
        if name != "variables_schema":
            found |= _fields(inner) | _fields(inner.get("items", {}))
        found.add(name)
    return found


def test_names_every_field() -> None:
    named = {word for quoted in re.findall(r"`([\w.]+)`", _TEXT) for word in quoted.split(".")}

    assert _fields(_SCHEMA) - named == set()


@pytest.mark.parametrize(
    "number",
    [
        f"{bounds.DEEPEST} levels",
        f"{bounds.MOST_VALUES:,} values",
        f"names of {bounds.LONGEST_NAME} characters",
        f"{filling.MOST_CHARACTERS:,} characters",
    ],
)
def test_tells_the_limits(number: str) -> None:
    assert number in " ".join(_TEXT.split())
