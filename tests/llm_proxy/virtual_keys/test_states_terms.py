from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from accounts.models import Plan
from accounts.plans.limits import Limits
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.virtual_keys.models import VirtualKey
from llm_proxy.virtual_keys.terms import are_met, terms_of

USER_ID = UUID(int=7)
_OPEN = (VirtualKey.State.CREATING, VirtualKey.State.ACTIVE)


def limits(**values: Any) -> Limits:
    usual: dict[str, Any] = {
        "budget": Decimal("2.5"),
        "allowed_models": ("openai/*",),
        "requests_per_minute": 60,
        "max_parallel_calls": 4,
    }
    return Limits.of(Plan(**{**usual, **values}), None)


def key(state: VirtualKey.State = VirtualKey.State.ACTIVE) -> VirtualKey:
    return VirtualKey(user_id=USER_ID, state=state)


def test_budget_and_rates_are_the_users_and_the_rest_the_keys() -> None:
    terms = terms_of(key(), limits(), None)
    assert terms.user == {
        "max_budget": 2.5,
        "budget_duration": "30d",
        "rpm_limit": 60,
        "tpm_limit": None,
    }
    assert terms.key == {
        "user_id": str(USER_ID),
        "models": ["openai/*"],
        "max_parallel_requests": 4,
        "rpm_limit": None,
        "tpm_limit": None,
        "duration": None,
        "max_budget": None,
        "budget_duration": None,
        "blocked": False,
    }


def test_an_api_key_has_a_budget_beside_the_users() -> None:
    api_key = ApiKey(budget=Decimal("0.5"), budget_period="1d", allowed_models=[])
    terms = terms_of(key(), limits(), api_key)
    assert (terms.key["max_budget"], terms.key["budget_duration"]) == (0.5, "1d")
    assert terms.user["max_budget"] == 2.5


def test_nothing_is_a_limit_too() -> None:
    terms = terms_of(key(), limits(budget=Decimal(0), requests_per_minute=0), None)
    assert (terms.user["max_budget"], terms.user["rpm_limit"]) == (0.0, 0)


@pytest.mark.parametrize(
    ("planned", "chosen", "both"),
    [
        ((), [], []),
        (("a", "b"), [], ["a", "b"]),
        ((), ["a"], ["a"]),
        (("a", "b"), ["b", "c"], ["b"]),
        (("openai/*",), ["openai/gpt-4o"], ["openai/gpt-4o"]),
        (("openai/gpt-4o",), ["openai/*"], ["openai/gpt-4o"]),
        (("openai/gpt-*",), ["openai/*"], ["openai/gpt-*"]),
        (("*",), ["openai/*", "b"], ["openai/*", "b"]),
        (("a",), ["b"], ["no-default-models"]),
        (("openai/*",), ["anthropic/*"], ["no-default-models"]),
        # Neither covers the other, and openai/x-mini is in both.
        (("openai/*",), ["*-mini"], ["*-mini"]),
    ],
)
def test_an_api_key_has_models_that_both_it_and_the_plan_allow(
    planned: tuple[str, ...], chosen: list[str], both: list[str]
) -> None:
    api_key = ApiKey(allowed_models=chosen)
    assert terms_of(key(), limits(allowed_models=planned), api_key).key["models"] == both


def test_every_term_is_in_the_fingerprint() -> None:
    seen = {
        terms_of(key(state), limits(**values), api_key).fingerprint
        for state, values, api_key in (
            (VirtualKey.State.ACTIVE, {}, None),
            (VirtualKey.State.BLOCKED, {}, None),
            (VirtualKey.State.ACTIVE, {"budget": None}, None),
            (VirtualKey.State.ACTIVE, {"budget_period": "1d"}, None),
            (VirtualKey.State.ACTIVE, {"allowed_models": ()}, None),
            (VirtualKey.State.ACTIVE, {"requests_per_minute": 1}, None),
            (VirtualKey.State.ACTIVE, {"tokens_per_minute": 1}, None),
            (VirtualKey.State.ACTIVE, {"max_parallel_calls": 1}, None),
            (VirtualKey.State.ACTIVE, {}, ApiKey(budget=Decimal(1))),
        )
    }
    assert len(seen) == 9
    same = {terms_of(key(state), limits(), None).fingerprint for state in _OPEN}
    assert len(same) == 1


@pytest.mark.parametrize(
    ("row", "is_met"),
    [
        ({"max_budget": 2.5, "models": ["b", "a"], "blocked": None}, True),
        ({"max_budget": 2.5, "models": ["b", "a"], "blocked": False, "more": 1}, True),
        ({"max_budget": None, "models": ["b", "a"], "blocked": None}, False),
        ({"max_budget": 2.5, "models": ["b"], "blocked": None}, False),
        ({"max_budget": 2.5, "models": ["b", "a"], "blocked": True}, False),
        ({}, False),
    ],
)
def test_terms_are_met_whatever_way_litellm_writes_them(
    row: dict[str, Any], is_met: object
) -> None:
    terms = {"max_budget": 2.5, "models": ["a", "b"], "blocked": False}
    assert are_met(terms, row) is is_met


@pytest.mark.parametrize(("expires", "is_met"), [(None, True), ("2026-12-01T00:00:00Z", False)])
def test_a_key_is_held_to_have_no_end(expires: str | None, is_met: object) -> None:
    assert are_met({"duration": None}, {"expires": expires}) is is_met
