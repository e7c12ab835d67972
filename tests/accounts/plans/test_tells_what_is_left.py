from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pytest_django import Settings

from accounts.models import Plan, User, UserPlan
from accounts.plans.services import save_user_plan
from gateway_core import cache

LIMITS = "/api/v1/me/limits"


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client], settings: Settings) -> Iterator[httpx.Client]:
    settings.ENABLE_RATE_LIMITING = True
    yield client_for("alice@example.com")
    cache.clear_all()


def left(client: httpx.Client) -> dict[str, Any]:
    answer = client.get(LIMITS)
    assert answer.status_code == 200
    return dict(answer.json())


def test_tells_limits_and_what_is_left_of_each_class(alice: httpx.Client) -> None:
    for _ in range(2):
        alice.get("/api/v1/llm/models")
    chat = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "Hello"}]}
    assert alice.post("/api/v1/llm/chat/completions", json=chat).status_code == 200
    requests = left(alice)["requests"]
    assert {name: (one["burst"], one["remaining"]) for name, one in requests.items()} == {
        "general": (100, 97),
        "llm": (50, 49),
        "proxy": (200, 200),
        "uploads": (50, 50),
        "writes": (60, 60),
    }
    assert requests["llm"] == {
        "per_hour": 100,
        "burst": 50,
        "at_once": 16,
        "remaining": 49,
        "under_way": 0,
        "reset_after": 36,
    }
    assert requests["writes"]["at_once"] == 8
    assert requests["general"]["under_way"] == 1  # this one


def test_tells_the_budget_and_how_many_agents_and_keys_there_may_still_be(
    alice: httpx.Client,
) -> None:
    made = alice.post("/api/v1/llm/keys", json={"name": "cron", "scopes": ["llm"]})
    assert made.status_code == 201
    told = left(alice)
    assert (told["plan"], told["allowed_models"]) == ("Default", [])
    assert told["api_keys"] == {"limit": 20, "used": 1, "remaining": 19}
    assert told["agents"] == {"limit": 100, "used": 0, "remaining": 100}
    budget = {"limit": "10", "spent": "0", "remaining": "10", "period": "30d"}
    assert told["budget"].items() >= budget.items()


def test_shows_the_same_on_the_users_own_page(alice: httpx.Client) -> None:
    on_page = alice.get("/api/v1/me").json()
    told = left(alice)
    assert on_page["holdings"]["budget"] == told["budget"]
    assert on_page["limits"]["budget"] == told["budget"]["limit"]
    assert on_page["limits"]["max_agents"] == told["agents"]["limit"]
    assert not [name for name in on_page["limits"] if name.startswith("rate_")]
    general = on_page["limits"]["requests"].pop("general")
    assert general["remaining"] == told["requests"].pop("general")["remaining"] + 1
    assert on_page["limits"]["requests"] == told["requests"]


def test_tells_of_no_limit_as_null(alice: httpx.Client, settings: Settings) -> None:
    Plan.objects.update(max_agents=None)
    settings.ENABLE_RATE_LIMITING = False
    told = left(alice)
    assert told["agents"] == {"limit": None, "used": 0, "remaining": None}
    assert told["requests"] is None


def test_tells_of_the_users_own_limits_at_once(alice: httpx.Client) -> None:
    left(alice)
    user_id = User.objects.get(email="alice@example.com").pk
    save_user_plan(user_plan=UserPlan(user_id=user_id, rate_uploads="7/h:3:1"), by=None)
    uploads = left(alice)["requests"]["uploads"]
    assert (uploads["per_hour"], uploads["burst"], uploads["at_once"]) == (7, 3, 1)


def test_needs_a_sign_in(gateway: str) -> None:
    assert httpx.get(f"{gateway}{LIMITS}").status_code == 401
