from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from templates_app.agent_file.bounds import DEEPEST, LARGEST_NUMBER, LONGEST_NAME, MOST_VALUES
from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import fill
from templates_app.agent_file.loading import load
from templates_app.agent_file.unreadable import TooLarge, Unreadable
from templates_app.agent_file.validation import validate
from tests.templates_app.files import agent_file

_MAX_BYTES = 256 * 1024
_LAUGHS = "a: &a [lol]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise("abcdefghi")
)


def refusal(content: bytes | str, media_type: str = "") -> Unreadable:
    if isinstance(content, str):
        content = content.encode()
    begun = time.thread_time()
    with pytest.raises(Unreadable) as caught:
        load(content, max_bytes=_MAX_BYTES, media_type=media_type)
    assert time.thread_time() - begun < 5
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        (_LAUGHS, 1, "aliases"),
        ("a: &x 1", 1, "aliases"),
        ("\na: *x", 2, "aliases"),
        ("&x a: 1", 1, "aliases"),
        ("- &x\n  - *x", 1, "aliases"),
        ("a: !!python/object/apply:os.system [id]", 1, "Tags"),
        ("a: !!binary aGk=", 1, "Tags"),
        ("a: !!str 1", 1, "Tags"),
        ("a: !own 1", 1, "Tags"),
        ("a: ! 1", 1, "Tags"),
        ("!!set {a, b}", 1, "Tags"),
        ("%TAG ! tag:example.com,2026:\n---\na: !own 1", 3, "Tags"),
        ("a: 1\nb: 2\na: 3", 3, "twice"),
        ("a: {b: 1, 'b': 2}", 1, "twice"),
        ("1: a", 1, "quotes"),
        ("true: a", 1, "quotes"),
        ("? [a]\n: b", 1, "quotes"),
        ("? {a: b}\n: c", 1, "quotes"),
        ("a: .inf", 1, "JSON"),
        ("a: -.INF", 1, "JSON"),
        ("a: .NaN", 1, "JSON"),
        ("a: 1\n---\nb: 2", 2, "document"),
        ("a: 'b", 1, "end of stream"),
        ("a: b: c", 1, "not allowed"),
        (f"a: {'9' * 5000}", 1, "digits"),
    ],
)
def test_refuses_what_yaml_has_beyond_json_and_says_where(text: str, line: int, word: str) -> None:
    message = refusal(text).message

    assert message.startswith(f"Line {line}, column ")
    assert word in message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"a": 1, "a": 2}', "twice"),
        ('{"b": [{"a": 1, "a": 1}]}', "twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        (f'{{"a": {"9" * 5000}}}', "digits"),
        ('{"a": 1,}', "Line 1, column"),
        ('{"a": 1} {"b": 2}', "Extra data"),
        ("{'a': 1}", "Line 1, column"),
    ],
)
def test_refuses_what_is_no_json(text: str, word: str) -> None:
    assert word in refusal(text).message


@pytest.mark.parametrize("media_type", ["application/json", "application/yaml"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfea", b"\x80", "{}".encode("utf-16")])
def test_refuses_what_is_no_text(content: bytes, media_type: str) -> None:
    assert refusal(content, media_type).message


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        '{"\\udfff": 1}',
        f'{{"a": {LARGEST_NUMBER + 1}}}',
        f'{{"a": -{LARGEST_NUMBER + 1}}}',
        '{"a": 1e16}',
        '{"a": 1e999}',
        f'{{"{"n" * (LONGEST_NAME + 1)}": 1}}',
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "application/yaml"])
def test_refuses_what_can_not_be_kept_as_it_is(text: str, media_type: str) -> None:
    assert refusal(text, media_type).message.isprintable()


def test_says_where_a_value_is_that_can_not_be_kept() -> None:
    assert refusal('{"a/b": [0, 1e16]}').pointer == "/a~1b/1"


def test_takes_no_more_bytes_than_the_limit() -> None:
    with pytest.raises(TooLarge, match="larger than 5 bytes"):
        load(b"a: 123", max_bytes=5)
    assert load(b"a: 12", max_bytes=5).document == {"a": 12}


@pytest.mark.parametrize(
    ("opening", "closing", "media_type"),
    [
        ("[", "]", "application/json"),
        ('{"a":', "}", "application/json"),
        ("[", "]", "application/yaml"),
        ("{a: ", "}", "application/yaml"),
        ("- ", "", "application/yaml"),
    ],
)
def test_goes_no_deeper_than_the_limit(opening: str, closing: str, media_type: str) -> None:
    def nested(levels: int) -> str:
        return opening * levels + "1" + closing * levels

    assert load(nested(DEEPEST).encode(), max_bytes=_MAX_BYTES, media_type=media_type).document
    for levels in (DEEPEST + 1, 990, 5_000, 40_000):
        assert "deep" in refusal(nested(levels), media_type).message


@pytest.mark.parametrize("media_type", ["application/json", "application/yaml"])
def test_takes_no_more_values_than_the_limit(media_type: str) -> None:
    def listed(values: int) -> str:
        return f"[{','.join('1' for _ in range(values))}]"

    allowed = listed(MOST_VALUES - 1)
    assert load(allowed.encode(), max_bytes=_MAX_BYTES, media_type=media_type).document
    assert "values" in refusal(listed(MOST_VALUES), media_type).message
    assert "values" in refusal(listed(120_000), media_type).message


@pytest.mark.parametrize(
    "text",
    [
        "? " * 80_000,
        "a: " * 80_000,
        "[" * 120_000,
        "{" * 120_000,
        "- - " * 60_000,
        "'" * 249_999,
        '"' + "\\" * 250_000,
        "a: |\n" + " " * 250_000 + "\n\tb",
        "#" * 250_000,
        "\n" * 250_000,
        "%YAML 1.1\n" * 20_000,
        "[a, " * 60_000,
        '{"a":1,' * 30_000,
        "{" + ",".join(f'"n{i}":0' for i in range(20_000)) + ',"n0":0}',
    ],
)
def test_gives_up_soon_on_a_file_made_to_keep_it_busy(text: str) -> None:
    assert refusal(text).message


_LOOKS_LIKE_YAML = st.text(
    st.sampled_from("ab:-?[]{}&*!|>'\"%@`#,~.0123\n \t\\<=\u00e9\u2028\ufeff")
)


@given(
    st.binary(max_size=300) | _LOOKS_LIKE_YAML.map(str.encode), st.sampled_from(["yaml", "json"])
)
def test_reads_anything_or_says_why_not(content: bytes, subtype: str) -> None:
    try:
        document = load(content, max_bytes=200, media_type=f"application/{subtype}").document
    except Unreadable as exc:
        complaint = exc.message
    else:
        json.dumps(document, allow_nan=False).encode()
        complaint = validate(document).faults[0].message
    assert complaint.isprintable()


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@given(_anything)
def test_is_never_cleverer_than_a_safe_loader(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    try:
        document = load(text.encode(), max_bytes=10_000, media_type="application/yaml").document
    except Unreadable:
        return
    assert isinstance(document, dict | list | str | int | float | bool | None)


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value in a document."""
    yield way
    held = dict(enumerate(value)) if isinstance(value, list) else value
    for name, inner in held.items() if isinstance(held, dict) else ():
        yield from _places(inner, (*way, name))


def _with(value: Any, way: tuple[Any, ...], other: Any) -> Any:
    if not way:
        return other
    copied = value.copy()
    copied[way[0]] = _with(value[way[0]], way[1:], other)
    return copied


_FILE = agent_file(
    migrations=[{"from": "<1.0.0", "steps": [{"op": "rename_block", "from": "a", "to": "b"}]}]
)


@given(
    st.sampled_from(list(_places(_FILE))),
    _anything
    | st.sampled_from(["string", {"$ref": "#"}, {"pattern": "("}, {"enum": []}, "{{", "{{a}}{{"]),
)
def test_says_what_is_wrong_with_a_file_wherever_something_else_stands(
    way: tuple[Any, ...], other: Any
) -> None:
    try:
        document = load(json.dumps(_with(_FILE, way, other)).encode(), max_bytes=99_999).document
    except Unreadable:
        return

    report = validate(document)

    for fault in (*report.faults, *report.warnings):
        assert fault.message.isprintable()
    if report.is_valid:
        with suppress(FaultsFound, Unreadable):
            fill(document, {"user_name": "Ann", "tone": "kind"})
