from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from llm_proxy.spent import budget_exhausted
from llm_proxy.virtual_keys.grants import Grant

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)
# As LiteLLM 1.109.1 says it.
OF_USER = "ExceededBudget: User=u1 over budget. Spend=0.1, Budget=0.08"
OF_KEY = "Budget has been exceeded! Key=gw:u1 (sk-...73dc) Current cost: 0.1, Max budget: 0.08"


def grant(user_period: str, key_period: str = "") -> Grant:
    return Grant(
        virtual_key_id=uuid4(),
        user_id=uuid4(),
        authorization="",
        models=(),
        is_blocked=False,
        budget_period=user_period,
        key_budget_period=key_period,
    )


@pytest.mark.parametrize(
    ("said", "whose", "renewed"),
    [
        (OF_USER, "of this account,", "2026-12-01T00:00:00Z."),
        (OF_KEY, "of this API key ", "2026-11-24T00:00:00Z."),
    ],
)
def test_says_whose_it_is_and_when_it_is_renewed(said: str, whose: str, renewed: str) -> None:
    error = budget_exhausted(said, grant("30d", "1d"), MONDAY)

    assert whose in error.detail
    assert error.detail.endswith(f"It is renewed at {renewed}")
    assert not error.retryable


def test_says_no_time_for_a_budget_that_is_never_renewed() -> None:
    assert "renewed" not in budget_exhausted(OF_USER, grant(""), MONDAY).detail


def test_names_both_where_litellm_names_none() -> None:
    said = budget_exhausted("Budget has been exceeded!", grant("30d"), MONDAY).detail

    assert "this account or key" in said
