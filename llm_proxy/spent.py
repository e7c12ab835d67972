"""Whose budget is spent, and when it is renewed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway_core.errors import BudgetExhausted
from llm_proxy.usage.budget import period_around

if TYPE_CHECKING:
    from datetime import datetime

    from llm_proxy.virtual_keys.grants import Grant

# In the words of LiteLLM 1.109.1: "ExceededBudget: User=…" and "Budget has been exceeded! Key=…".
_WHOSE: Final = re.compile(r"\b(User|Key)=").search
_OF_USER: Final = (
    "The budget of this account, for all its model calls, API keys and agents, is spent."
)
_OF_KEY: Final = "The budget of this API key is spent."


def budget_exhausted(said: str, grant: Grant, now: datetime) -> BudgetExhausted:
    """Return the error for a call that LiteLLM has refused for a budget.

    Args:
        said: LiteLLM's words, which name the user or the key.
        grant: that the call was made with.
    """
    whose = _WHOSE(said)
    if whose is None:
        return BudgetExhausted()
    is_keys = whose[1] == "Key"
    span = period_around(grant.key_budget_period if is_keys else grant.budget_period, now)
    renewed = f" It is renewed at {span[1]:%Y-%m-%dT%H:%M:%SZ}." if span else ""
    return BudgetExhausted(f"{_OF_KEY if is_keys else _OF_USER}{renewed}")
