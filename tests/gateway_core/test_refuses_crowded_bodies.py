from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_core.crowded import MOST, refuse_crowded
from gateway_core.errors import RequestMalformed
from tests.memory import most_bytes

_FEW = 3
_ALPHABET = st.sampled_from('ab[{"\\]},:/')
_VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.text(_ALPHABET),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(_ALPHABET), inner),
    max_leaves=30,
)


def containers(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(containers, value.values()))
    return 1 + sum(map(containers, value)) if isinstance(value, list) else 0


def texts(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(texts, value.values()))
    return sum(map(texts, value)) if isinstance(value, list) else int(isinstance(value, str))


def commas(value: object) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return max(len(value) - 1, 0) + sum(map(commas, inner))


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * MOST + b"0]",
        b'{"input": [' + b"{}," * MOST + b"0]}",
        b'["[]",' + b"[]," * MOST + b"0]",
        b"[" + b'"",' * (2 * MOST + 1) + b"0]",
        b"[" * (MOST + 1),
        b"[" + b"0," * (5 * MOST + 1) + b"0]",
    ],
    ids=["lists", "objects", "lists beside a text", "texts", "no JSON", "numbers"],
)
def test_refuses_what_would_take_long_to_parse(body: bytes) -> None:
    with pytest.raises(RequestMalformed, match=f"more than {MOST} objects and lists"):
        refuse_crowded(body)


def test_takes_little_memory_to_find_out() -> None:
    body = b'"ab' * (16 * 2**20 // 3)

    def refuse() -> None:
        with pytest.raises(RequestMalformed):
            refuse_crowded(body)

    assert most_bytes(refuse) < 3 * len(body)


@pytest.mark.parametrize(
    "value",
    [
        "print({'a': [1, 2, 3, 4, 5, 6, 7]})\n" * MOST,
        '\\"[' * MOST,
        [1] * (5 * MOST),
        [{}] * (MOST - 1),
        [""] * (2 * MOST),
    ],
    ids=["code", "escapes", "numbers", "objects", "texts"],
)
def test_lets_long_texts_and_numbers_pass(value: object) -> None:
    refuse_crowded(orjson.dumps(value))


@settings(max_examples=300, deadline=None)
@given(_VALUES)
def test_counts_what_parsing_would_find(value: object) -> None:
    is_crowded = containers(value) > _FEW or texts(value) > 2 * _FEW or commas(value) > 5 * _FEW
    if is_crowded:
        with pytest.raises(RequestMalformed):
            refuse_crowded(orjson.dumps(value), most=_FEW)
    else:
        refuse_crowded(orjson.dumps(value), most=_FEW)
