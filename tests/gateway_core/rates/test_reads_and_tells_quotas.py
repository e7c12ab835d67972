from __future__ import annotations

import pytest
from http_sfv.list import List
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.rates import Decision, Quota, Refusal, quota


def told(decision: Decision) -> tuple[List, List]:
    """Return RateLimit-Policy and RateLimit as a parser of structured fields reads them."""
    policy, left = List(), List()
    policy.parse(decision.headers()["ratelimit-policy"].encode())
    left.parse(decision.headers()["ratelimit"].encode())
    return policy, left


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("1000/h:100", Quota(name="x", per_hour=1000, burst=100)),
        ("1/h:1:1", Quota(name="x", per_hour=1, burst=1, at_once=1)),
    ],
)
def test_reads_how_many_an_hour_in_one_go_and_at_once(form: str, expected: Quota) -> None:
    assert quota("x", form) == expected
    assert str(expected) == form


@pytest.mark.parametrize(
    "form",
    ["", "1000", "1000/h", "0/h:1", "10/h:0", "10/h:5:0", "-1/h:5", "10/m:5", "1e3/h:5", "१/h:5"],
)
def test_reads_nothing_else(form: str) -> None:
    with pytest.raises(ValueError, match="1000/h:100:32"):
        quota("x", form)


@given(
    per_hour=st.integers(1, 10**9 - 1),
    burst=st.integers(1, 10**7 - 1),
    remaining=st.integers(0, 100),
    wait=st.floats(0, 10**6),
    full=st.floats(0, 10**6),
)
def test_tells_it_in_structured_fields(
    per_hour: int, burst: int, remaining: int, wait: float, full: float
) -> None:
    policy, left = told(
        Decision(
            quota=Quota(name="llm", per_hour=per_hour, burst=burst),
            refusal=Refusal.NONE,
            remaining=remaining,
            retry_after=wait,
            full_after=full,
        )
    )
    assert (policy[0].value, left[0].value) == ("llm", "llm")
    assert policy[0].params["q"] == burst
    assert policy[0].params["w"] * per_hour >= burst * 3600
    assert left[0].params["r"] == remaining
    assert left[0].params["t"] >= (full if remaining else wait)


def test_tells_who_has_none_left_when_there_is_one_again() -> None:
    ten = Quota(name="llm", per_hour=3600, burst=10)
    decision = Decision(
        quota=ten, refusal=Refusal.RATE, remaining=0, retry_after=0.4, full_after=9.4
    )
    assert decision.headers() == {
        "ratelimit-policy": '"llm";q=10;w=10',
        "ratelimit": '"llm";r=0;t=1',
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1",
    }
