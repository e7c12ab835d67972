"""A copy's passages are embedded at the user's expense: what that is refused for comes out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest
from asgiref.sync import async_to_sync

from gateway_core.errors import Code
from llm_proxy.agent_proxy.refusals import note_refusal
from tests.agents.conftest import BOTH_DRIVERS, Caller, InLetta, rows
from tests.agents.test_clones_agents import lived
from tests.conftest import Running

__all__ = ("lived",)
SECRETS = {"search_key": "exa-secret"}


def copy(caller: Caller, agent: dict[str, Any], how: str, **headers: str) -> httpx.Response:
    path = f"/agents/{agent['id']}"
    if how == "clone":
        return caller("POST", f"{path}/clone", json={}, headers=headers)
    file = caller.get(f"{path}/export")
    body = {"file": file, "variables": SECRETS}
    return caller("POST", "/agents/import", json=body, headers=headers)


def spend_all(caller: Caller, litellm: Running) -> None:
    headers = {"authorization": f"Bearer {litellm.credentials['LITELLM_MASTER_KEY']}"}
    query: dict[str, str] = {"user_id": caller.get("/me")["id"], "return_full_object": "true"}
    (key,) = litellm.client.get("/key/list", params=query, headers=headers).json()["keys"]
    limit = {"key": key["token"], "max_budget": key["spend"]}
    litellm.client.post("/key/update", json=limit, headers=headers).raise_for_status()


@BOTH_DRIVERS
@pytest.mark.parametrize("how", ["clone", "import"])
def test_says_that_the_budget_is_spent_and_leaves_nothing(
    alice: Caller, lived: dict[str, Any], litellm: Running, in_letta: InLetta, how: str
) -> None:
    before = [in_letta.ids(table) for table in ("agents", "blocks", "archives")]
    spend_all(alice, litellm)

    answer = copy(alice, lived, how)

    assert (answer.status_code, answer.json()["code"]) == (429, "quota_budget_exhausted")
    assert [row.agent_id for row in rows()] == [lived["id"]]
    assert [in_letta.ids(table) for table in ("agents", "blocks", "archives")] == before


@pytest.mark.parametrize("target", ["/archival-memory$", "/passages/batch$"])
@pytest.mark.parametrize(
    ("refusal", "status", "retry_after"),
    [
        (Code.QUOTA_RATE_LIMITED, 429, "10"),
        (Code.QUOTA_TOO_MANY_CONCURRENT, 429, "1"),
        (Code.POLICY_MODEL_NOT_ALLOWED, 403, None),
        (Code.UPSTREAM_OVERLOADED, 503, "1"),
        (Code.UPSTREAM_CIRCUIT_OPEN, 503, "5"),
    ],
)
def test_says_when_to_come_back(  # noqa: PLR0917
    alice: Caller,
    lived: dict[str, Any],
    letta: Running,
    refusal: Code,
    status: int,
    retry_after: str | None,
    target: str,
) -> None:
    letta.fault(target, method="POST", status=500)
    async_to_sync(note_refusal)(UUID(lived["user_id"]), refusal)

    answer = copy(alice, lived, "clone")

    assert (answer.status_code, answer.json()["code"]) == (status, refusal)
    assert answer.headers.get("retry-after") == retry_after
    assert len(rows()) == 1


def test_the_same_key_copies_once_there_is_a_budget_again(
    alice: Caller, lived: dict[str, Any], letta: Running
) -> None:
    letta.fault("/archival-memory$", method="POST", status=500)
    async_to_sync(note_refusal)(UUID(lived["user_id"]), Code.QUOTA_RATE_LIMITED)
    key = {"idempotency-key": "copy-1"}
    assert copy(alice, lived, "clone", **key).status_code == 429
    letta.mend()

    assert copy(alice, lived, "clone", **key).status_code == 201


def test_blames_the_budget_for_nothing_else(
    alice: Caller, lived: dict[str, Any], letta: Running
) -> None:
    letta.fault("^/v1/agents/$", method="POST", status=500)
    async_to_sync(note_refusal)(UUID(lived["user_id"]), Code.QUOTA_BUDGET_EXHAUSTED)

    answer = copy(alice, lived, "clone")

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_failed")
