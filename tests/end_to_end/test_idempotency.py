"""A message with an Idempotency-Key reaches a real Letta once, and costs once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import letta_client
import pytest

if TYPE_CHECKING:
    import httpx
    from letta_client import Letta
    from letta_client.types import AgentState


def said(client: Letta, agent_id: str) -> list[Any]:
    messages = client.agents.messages.list(agent_id)
    return [one for one in messages if one.message_type == "user_message"]


def test_sends_a_message_once_for_the_official_client(
    alice_letta: Letta, agent: AgentState
) -> None:
    before = len(said(alice_letta, agent.id))
    key = {"Idempotency-Key": str(uuid4())}

    first, second = (
        alice_letta.agents.messages.create(agent.id, input="hi", extra_headers=key)
        for _ in range(2)
    )

    assert first == second
    assert len(said(alice_letta, agent.id)) == before + 1


def test_sends_a_message_once_however_often_it_comes_at_once(
    alice_letta: Letta, alice_http: httpx.Client, agent: AgentState
) -> None:
    before = len(said(alice_letta, agent.id))
    key = {"Idempotency-Key": str(uuid4())}
    target = f"/api/v1/letta/agents/{agent.id}/messages"

    def send(_: int) -> httpx.Response:
        return alice_http.post(target, json={"input": "hi"}, headers=key)

    with ThreadPoolExecutor(6) as pool:
        statuses = {answer.status_code for answer in pool.map(send, range(6))}

    assert statuses <= {200, 409}
    assert send(0).headers["idempotent-replayed"] == "true"
    assert len(said(alice_letta, agent.id)) == before + 1


def test_frees_the_key_of_what_letta_finds_invalid(alice_letta: Letta, agent: AgentState) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    wrong: Any = [{"role": "nobody", "content": "hi"}]
    with pytest.raises(letta_client.UnprocessableEntityError):
        alice_letta.agents.messages.create(agent.id, messages=wrong, extra_headers=key)

    answer = alice_letta.agents.messages.create(agent.id, input="hi", extra_headers=key)

    assert answer.stop_reason.stop_reason == "end_turn"


def test_refuses_a_key_with_a_stream(alice_letta: Letta, agent: AgentState) -> None:
    with pytest.raises(letta_client.BadRequestError, match="streamed"):
        alice_letta.agents.messages.create(
            agent.id, input="hi", streaming=True, extra_headers={"Idempotency-Key": "k"}
        )
