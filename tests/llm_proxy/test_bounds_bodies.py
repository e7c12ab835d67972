"""How deep and wide a body may be, and what it costs to find out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.errors import FieldInvalid
from llm_proxy.operations import CATALOGUE
from llm_proxy.policy import police
from llm_proxy.shape import MAX_DEPTH, MAX_VALUES
from tests.memory import most_bytes

CHAT, _ = CATALOGUE.match("POST", ("chat", "completions"))
# The body and the named list or object itself.
AROUND = 2


def body(value: Any, field: str = "messages") -> dict[str, Any]:
    return {"model": "m", field: value}


def refusal(sent: dict[str, Any]) -> str:
    with pytest.raises(FieldInvalid) as caught:
        police(CHAT, sent)
    assert caught.value.status == 400
    return caught.value.detail


def nested(kinds: list[bool]) -> Any:
    """Return lists (True) and objects within one another, the first outermost."""
    value: Any = "x"
    for is_list in reversed(kinds):
        value = [value] if is_list else {"x": value}
    return value


@given(
    st.lists(st.booleans(), min_size=MAX_DEPTH - 4, max_size=MAX_DEPTH + 4),
    st.sampled_from(["messages", "tools", "logit_bias", "structured_outputs"]),
)
def test_refuses_exactly_what_is_deeper_than_the_limit(kinds: list[bool], field: str) -> None:
    sent = body(nested(kinds), field)
    if len(kinds) < MAX_DEPTH:
        assert police(CHAT, sent)
    else:
        assert str(MAX_DEPTH) in refusal(sent)


@pytest.mark.parametrize("depth", [255, 1000])
def test_refuses_depth_where_nothing_is_looked_for(depth: int) -> None:
    """What orjson could not write again."""
    schema = nested([False] * depth)
    assert "deeper" in refusal(body([{"function": {"parameters": schema}}], "tools"))
    assert "deeper" in refusal(body([{"content": [{"input": schema}]}]))


@pytest.mark.parametrize("value", [{}, [], "x", {"a": 1}])
def test_refuses_more_values_than_the_limit(value: Any) -> None:
    assert police(CHAT, body([value] * (MAX_VALUES // 2 - AROUND)))
    assert str(MAX_VALUES) in refusal(body([value] * MAX_VALUES))


def test_refuses_more_values_than_the_limit_spread_over_many_lists() -> None:
    assert str(MAX_VALUES) in refusal(body([[{}] * 100] * 1000))


def test_lets_any_number_of_tokens_pass() -> None:
    embeddings, _ = CATALOGUE.match("POST", ("embeddings",))
    tokens = [[1] * (MAX_VALUES + 1)] * 2
    assert police(embeddings, body(tokens, "input")) == body(tokens, "input")


def test_refuses_a_deep_and_wide_body_without_unfolding_it() -> None:
    raw = b'{"model":"m","messages":%b%b%b}' % (
        b"[" * 1000,
        b",".join([b"[]"] * 60_000),
        b"]" * 1000,
    )
    sent = orjson.loads(raw)
    assert most_bytes(lambda: refusal(sent)) < 100_000


def test_refuses_a_million_empty_objects_without_unfolding_them() -> None:
    sent = orjson.loads(b'{"model":"m","messages":[%b{}]}' % (b"{}," * 10**6))
    assert most_bytes(lambda: refusal(sent)) < 100_000


def test_does_not_keep_a_path_for_each_value() -> None:
    """The most that may be sent: as many lists as may be, as deep as may be."""
    value: Any = [[] for _ in range(MAX_VALUES - 100)]
    value[0] = {"url": "http://127.0.0.1"}
    for _ in range(MAX_DEPTH - 4):
        value = [value]

    def refuse() -> None:
        with pytest.raises(Exception, match="may not point there"):
            police(CHAT, body(value))

    assert most_bytes(refuse) < 30_000_000
