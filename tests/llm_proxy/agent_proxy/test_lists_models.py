"""What of LiteLLM's list agents may think with, when LiteLLM lists all that a wildcard knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from accounts.plans.limits import Limits
from gateway_core.errors import UpstreamAnswerInvalid
from llm_proxy.agent_proxy.listing import models_for_agents

# Of "openai/*", which LiteLLM has a route for, it lists what it knows besides.
LISTING = {
    "data": [
        {"id": "stub-chat"},
        {"id": "openai/*"},
        {"id": "openai/gpt-5", "mode": "chat"},
        {"id": "openai/o3-pro", "mode": "responses"},
        {"id": "openai/whisper-1", "mode": "audio_transcription"},
    ]
}


UNLIMITED = Limits(
    budget=None,
    budget_period="30d",
    allowed_models=(),
    requests_per_minute=None,
    tokens_per_minute=None,
    max_parallel_calls=None,
    max_agents=None,
    max_api_keys=10,
)


def names(*patterns: str) -> list[str]:
    limits = replace(UNLIMITED, allowed_models=patterns)
    return [entry["id"] for entry in models_for_agents(LISTING, limits)]


def test_leaves_out_what_only_a_wildcard_knows_unless_the_plan_names_it() -> None:
    assert names() == ["stub-chat"]
    assert names("openai/*") == ["openai/gpt-5", "openai/o3-pro"]
    assert names("openai/gpt-*", "stub-*") == ["stub-chat", "openai/gpt-5"]


def test_has_what_the_plan_names_and_a_wildcard_lets_through() -> None:
    assert names("openai/gpt-6", "anthropic/claude") == ["openai/gpt-6"]


@pytest.mark.parametrize("listing", [None, [], {"data": None}, {"data": [1]}, {"data": [{}]}])
def test_takes_nothing_for_a_list_that_is_none(listing: Any) -> None:
    with pytest.raises(UpstreamAnswerInvalid):
        models_for_agents(listing, UNLIMITED)
