"""What the usage records of agent turns are made of."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway_core import access
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from tests.timing import wait_until

if TYPE_CHECKING:
    from gateway_core.context import RequestRecord
    from tests.conftest import Running
    from tests.letta_proxy.conftest import Caller

SLOW = "SLOW:100:0.05"


@pytest.fixture
def agent_id(alice: Caller) -> str:
    return str(alice.create_agent()["id"])


@pytest.fixture
def ended(agent_id: str, monkeypatch: pytest.MonkeyPatch) -> list[RequestRecord]:
    """The requests to Letta that have ended since the agent was made."""
    del agent_id
    records: list[RequestRecord] = []

    def keep(record: RequestRecord) -> None:
        if record.route == "letta":
            records.append(record)

    monkeypatch.setattr(access, "sinks", [keep])
    return records


def facts_of(ended: list[RequestRecord]) -> dict[str, Any]:
    wait_until(lambda: ended)
    return ended[-1].facts


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/agents/{}/messages", {}),
        ("/agents/{}/messages/stream", {}),
        ("/conversations/{}/messages", {"streaming": True}),
        ("/conversations/default/messages", {"agent_id": "{}"}),
    ],
)
def test_notes_tokens_and_agent_of_a_turn(
    alice: Caller, agent_id: str, ended: list[RequestRecord], path: str, body: dict[str, Any]
) -> None:
    if "agent_id" in body:
        body = {**body, "agent_id": agent_id}
    alice("POST", path.format(agent_id), json={"input": "hi", **body}).raise_for_status()

    facts = facts_of(ended)
    assert (facts["turn"], facts["agent"]) == (True, agent_id)
    assert facts["tokens_out"] == 10


def test_notes_with_which_api_key_a_turn_was_asked_for(
    alice: Caller, agent_id: str, ended: list[RequestRecord]
) -> None:
    wish = {"name": "cron", "scopes": ["letta"]}
    key = alice.client.post("/api/v1/llm/keys", json=wish).raise_for_status().json()
    headers = {"authorization": f"Bearer {key['secret']}"}
    path = f"/agents/{agent_id}/messages"
    alice("POST", path, json={"input": "hi"}, headers=headers).raise_for_status()
    facts = facts_of(ended)
    AuditEvent.objects.store([line_of(ended[-1])])

    assert (facts["turn"], str(facts["api_key_id"])) == (True, key["id"])
    used = alice.client.get(f"/api/v1/llm/keys/{key['id']}/usage").raise_for_status().json()
    assert used["totals"]["turns"] == 1
    kept = alice.client.get(f"/api/v1/llm/keys/{key['id']}").json()
    assert kept["last_used_at"] is not None


def test_notes_the_agent_of_a_chat_completion(
    alice: Caller, agent_id: str, ended: list[RequestRecord]
) -> None:
    body = {"model": agent_id, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    alice("POST", "/chat/completions", json=body).raise_for_status()

    assert facts_of(ended)["agent"] == agent_id


def test_notes_the_agent_of_a_conversation(
    alice: Caller, agent_id: str, ended: list[RequestRecord]
) -> None:
    conversation = alice.post(f"/conversations/?agent_id={agent_id}", json={})
    alice.post(f"/agents/{agent_id}/messages/async", json={"input": "hi"})
    path = f"/conversations/{conversation['id']}/messages"
    alice("POST", path, json={"input": "hi"}).raise_for_status()

    made, in_background, turn = (record.facts for record in ended)
    assert "turn" not in made
    assert in_background["agent"] == turn["agent"] == agent_id


@pytest.mark.parametrize("ending", ["", "/stream"])
def test_notes_a_turn_whose_caller_has_left(
    alice: Caller, agent_id: str, ended: list[RequestRecord], ending: str
) -> None:
    path = f"/api/v1/letta/v1/agents/{agent_id}/messages{ending}"
    with (
        contextlib.suppress(httpx.ReadTimeout),
        alice.client.stream("POST", path, json={"input": SLOW}, timeout=0.3) as answer,
    ):
        next(answer.iter_raw())

    facts = facts_of(ended)
    assert (facts["turn"], facts["agent"]) == (True, agent_id)


def test_notes_no_turn_that_letta_refuses(
    alice: Caller, letta: Running, agent_id: str, ended: list[RequestRecord]
) -> None:
    letta.fault("/messages$", status=409)
    assert alice("POST", f"/agents/{agent_id}/messages", json={"input": "hi"}).is_error

    assert "turn" not in facts_of(ended)


def test_notes_no_turn_of_other_requests(
    alice: Caller, agent_id: str, ended: list[RequestRecord]
) -> None:
    alice.get(f"/agents/{agent_id}/messages")
    alice.post(f"/agents/{agent_id}/archival-memory", json={"text": "sky"})

    assert not [record for record in ended if "turn" in record.facts]
