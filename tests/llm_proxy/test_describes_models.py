from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway_core.errors import ResourceNotFound, UpstreamAnswerInvalid
from llm_proxy.describe import describes
from llm_proxy.virtual_keys.grants import Grant
from tests.conftest import Running

LISTING = {
    "data": [
        {"id": "stub/*", "owned_by": "us"},
        {"id": "stub/fast", "mode": "chat"},
        {"id": "gpt-mini"},
        {"id": "odd[1]"},
    ]
}


def grant(*models: tuple[str, ...]) -> Grant:
    return Grant(
        virtual_key_id=UUID(int=1),
        user_id=UUID(int=2),
        authorization="",
        models=models,
        is_blocked=False,
    )


async def listed(*models: tuple[str, ...]) -> list[str]:
    answer = await describes(grant(*models), "")(LISTING)
    assert answer["object"] == "list"
    return [entry["id"] for entry in answer["data"]]


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ((), ["stub/fast", "gpt-mini", "odd[1]"]),
        (((), ()), ["stub/fast", "gpt-mini", "odd[1]"]),
        ((("*-mini",),), ["gpt-mini"]),
        ((("stub/*",),), ["stub/fast"]),
        # Named by the plan, and LiteLLM has a route for it; there is none for the other.
        ((("stub/new", "other/new"),), ["stub/new"]),
        ((("stub/*", "gpt-mini"), ("stub/new", "gpt-mini")), ["gpt-mini", "stub/new"]),
        ((("nothing",),), []),
    ],
)
async def test_lists_what_the_caller_may_use(
    models: tuple[tuple[str, ...], ...], names: list[str]
) -> None:
    assert await listed(*models) == names


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("stub/fast", {"id": "stub/fast", "mode": "chat"}),
        ("stub/slow", {"id": "stub/slow", "owned_by": "us"}),
        ("odd[1]", {"id": "odd[1]"}),
    ],
)
async def test_describes_a_model_by_itself_or_its_route(name: str, entry: dict[str, Any]) -> None:
    assert await describes(grant(), name)(LISTING) == entry


@pytest.mark.parametrize("name", ["stub", "STUB/fast", "odd1x", "stub/*", "*"])
async def test_finds_no_other(name: str) -> None:
    with pytest.raises(ResourceNotFound):
        await describes(grant(), name)(LISTING)


@pytest.mark.parametrize("name", ["gpt-mini", "stub/slow"])
async def test_finds_nothing_that_the_caller_may_not_use(name: str) -> None:
    with pytest.raises(ResourceNotFound):
        await describes(grant(("stub/fast",)), name)(LISTING)


@pytest.mark.parametrize("listing", [None, [], {}, {"data": None}, {"data": [{}]}, {"data": [1]}])
@pytest.mark.parametrize("name", ["", "stub/fast"])
async def test_refuses_what_is_no_list_of_models(listing: Any, name: str) -> None:
    with pytest.raises(UpstreamAnswerInvalid):
        await describes(grant(), name)(listing)


def test_asks_as_administrator_and_takes_no_wishes(
    client_for: Callable[[str], httpx.Client], litellm: Running
) -> None:
    alice = client_for("alice@example.com")
    listing = alice.get("/api/v1/llm/models", params={"user_id": "bob", "team_id": "x"})
    assert listing.is_success
    assert alice.get(f"/api/v1/llm/models/{listing.json()['data'][0]['id']}").is_success
    master = litellm.credentials["LITELLM_MASTER_KEY"]
    for call in litellm.requests("^/v1/models$"):
        assert call["headers"]["authorization"] == f"Bearer {master}"
        assert call["query"] == "return_wildcard_routes=true"
    assert master not in listing.text


def test_finds_a_name_with_slashes_whether_they_are_encoded_or_not(
    client_for: Callable[[str], httpx.Client],
) -> None:
    alice = client_for("alice@example.com")
    for path in ("stub/fast", "stub%2Ffast", "stub%2Ffast%2F2026"):
        answer = alice.get(f"/api/v1/llm/v1/models/{path}")
        assert (answer.status_code, answer.json()["id"]) == (200, path.replace("%2F", "/"))
