from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from templates_app.agent_file.bounds import LARGEST_NUMBER
from templates_app.agent_file.canonical import checksum
from templates_app.agent_file.loading import Format, Loaded, load
from tests.templates_app.files import agent_file


def read(text: str, media_type: str = "") -> Loaded:
    return load(text.encode(), max_bytes=100_000, media_type=media_type)


def yaml_value(text: str) -> Any:
    return read(f"value: {text}").document["value"]


@pytest.mark.parametrize(
    ("text", "media_type", "found"),
    [
        ('{"a": 1}', "", Format.JSON),
        ('\n  {"a": 1}', "application/x-www-form-urlencoded", Format.JSON),
        ("a: 1", "", Format.YAML),
        ("a: 1", "text/plain; charset=utf-8", Format.YAML),
        ("{a: 1}", "application/yaml", Format.YAML),
        ("{a: 1}", "Text/X-YAML; charset=utf-8", Format.YAML),
        ('{"a": 1}', "application/json; charset=utf-8", Format.JSON),
        ('\ufeff{"a": 1}', "", Format.JSON),
        ("\ufeffa: 1", "", Format.YAML),
    ],
)
def test_goes_by_the_media_type_and_else_by_the_first_character(
    text: str, media_type: str, found: Format
) -> None:
    loaded = read(text, media_type)

    assert (loaded.format, loaded.document) == (found, {"a": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("12", 12),
        ("-0", 0),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0xFF", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        # What older YAML takes for something else.
        ("no", "no"),
        ("On", "On"),
        ("2026-11-23", "2026-11-23"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1.0.0", "1.0.0"),
        ("<<", "<<"),
        ("'12'", "12"),
        ('"null"', "null"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        (">-\n  one\n  line\n", "one line"),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
        ('"\\u263a \\t"', "☺ \t"),
    ],
)
def test_reads_plain_words_by_the_core_schema(text: str, value: Any) -> None:
    found = yaml_value(text)

    assert (found, type(found)) == (value, type(value))


def test_takes_the_same_file_in_either_form_for_the_same() -> None:
    document = agent_file()
    written = [json.dumps(document, indent=1), yaml.safe_dump(document, sort_keys=False)]

    assert [read(text).document for text in written] == [document, document]
    assert len({checksum(read(text).document) for text in written}) == 1


def test_takes_checksums_of_canonical_json() -> None:
    # printf '{"a":[1,"\xe2\x82\xac"],"b":{"x":0.5,"y":null}}' | sha256sum
    known = "88c872644a8edd8c"
    document = {"b": {"y": None, "x": 0.50}, "a": [1.0, "€"]}

    assert checksum(document) == checksum({"a": [1, "€"], "b": {"x": 0.5, "y": None}})
    assert checksum(document).startswith(known)
    assert checksum(document) != checksum({**document, "c": 1})


_printable = st.characters(
    exclude_categories=("Cs", "Cc", "Cn", "Co"), exclude_characters="\ufeff\ufffe\uffff"
)
_names = st.text(_printable, max_size=20)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LARGEST_NUMBER, LARGEST_NUMBER)
    | st.floats(-1e15, 1e15)
    | st.text(_printable, max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=20,
)


@given(_values)
def test_reads_any_json_as_it_was_written(value: Any) -> None:
    text = json.dumps({"value": value})

    assert read(text, "application/json").document == {"value": value}


@given(_values)
def test_reads_any_json_as_yaml_too(value: Any) -> None:
    text = json.dumps({"value": value}, ensure_ascii=False)

    assert read(text, "application/yaml").document == {"value": value}
