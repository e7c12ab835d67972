from __future__ import annotations

import io
import json
import time
from typing import Any

import orjson
import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from gateway_core.errors import BodyTooLarge, FieldInvalid, RequestMalformed
from gateway_core.intake import JSONParser, StrictSerializer, values_of


def parse(content: bytes) -> Any:
    return JSONParser().parse(io.BytesIO(content))


def test_reads_json() -> None:
    assert parse(b'{"a": [1, 2.5, null, "\xc3\xa9"]}') == {"a": [1, 2.5, None, "é"]}
    assert parse(b"[" * 32 + b"]" * 32)
    assert parse(rb'["\\u0000", 18446744073709551615]') == [r"\u0000", 2**64 - 1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a": "\xff"}',
        b"[" * 33 + b"]" * 33,
        b"[" * 500_000,
        b'"\\ud800"',
        b'{"a": 1, "a": 2}',
    ],
)
def test_refuses_what_is_no_json_or_nested_too_deeply(content: bytes) -> None:
    with pytest.raises(RequestMalformed):
        parse(content)


def test_refuses_what_would_take_long_before_it_is_parsed() -> None:
    content = b'{"file": [' + b"{}," * (16 * 2**20 // 3) + b"{}]}"
    begun = time.thread_time()
    with pytest.raises(RequestMalformed, match="objects and lists"):
        values_of(content)
    assert time.thread_time() - begun < 1  # to parse it takes many seconds


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b'"\\u0000"', ""),
        (b'{"a/b": [1, "\\u0000"]}', "/a~1b/1"),
        (b'{"a": {"\\u0000": 1}}', "/a"),
        (b'{"a": 18446744073709551616}', "/a"),
        (b"[-9223372036854775809]", "/0"),
    ],
)
def test_refuses_what_can_not_be_stored_or_written_again(content: bytes, pointer: str) -> None:
    with pytest.raises(FieldInvalid) as refusal:
        parse(content)
    assert refusal.value.param == pointer


@override_settings(MAX_JSON_BYTES=10)
def test_refuses_what_is_too_large() -> None:
    assert parse(b'"12345678"') == "12345678"
    with pytest.raises(BodyTooLarge):
        parse(b'"123456789"')


def test_refuses_fields_that_it_does_not_heed() -> None:
    class Wish(StrictSerializer):
        name = serializers.CharField()
        made = serializers.CharField(read_only=True)

    for others in ({"nmae": "x"}, {"made": "now"}):
        wish = Wish(data={"name": "a", **others})
        assert not wish.is_valid()
        assert set(wish.errors) == set(others)

    wish = Wish(data={"nmae": "x"})
    assert not wish.is_valid()
    assert list(wish.errors) == ["nmae", "name"]
    assert not Wish(data=["no object"]).is_valid()


_TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)
_NUMBERS = st.integers() | st.integers(min_value=2**62, max_value=2**65) | st.floats()
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(value=_VALUES, depth=st.sampled_from([0, 1, 27, 40, 300]))
def test_takes_what_can_be_written_and_stored_and_nothing_else(value: Any, depth: int) -> None:
    text = "[" * depth + json.dumps(value) + "]" * depth
    try:
        taken = parse(text.encode())
    except (RequestMalformed, FieldInvalid):
        return

    assert json.dumps(taken) == text
    assert b"\\u0000" not in orjson.dumps(taken).replace(rb"\\", b"")


@given(
    st.binary(max_size=40) | st.text('[]{}":,0123456789eE+-.tfn\\u\0 ', max_size=40).map(str.encode)
)
def test_takes_any_bytes_or_says_why_not(content: bytes) -> None:
    try:
        taken = parse(content)
    except (RequestMalformed, FieldInvalid):
        return

    assert orjson.loads(orjson.dumps(taken)) == orjson.loads(content)
