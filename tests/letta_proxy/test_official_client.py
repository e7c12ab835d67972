"""Letta's own SDK, with nothing changed but address and key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import letta_client
import pytest
from letta_client import Letta

from tests.letta_proxy.conftest import EMBEDDING, MODEL

SignIn = Callable[[str], Letta]


@pytest.fixture
def alice_sdk(letta_for: SignIn) -> Letta:
    return letta_for("alice@example.com")


@pytest.fixture
def agent_id(alice_sdk: Letta) -> str:
    blocks: Any = [{"label": "human", "value": "Alice"}]
    return alice_sdk.agents.create(
        name="Ada", model=MODEL, embedding=EMBEDDING, memory_blocks=blocks
    ).id


def test_lives_an_agents_life(alice_sdk: Letta, agent_id: str) -> None:
    assert [one.id for one in alice_sdk.agents.list()] == [agent_id]
    assert alice_sdk.agents.retrieve(agent_id).name == "Ada"
    assert alice_sdk.agents.update(agent_id, description="new").description == "new"
    assert {tool.name for tool in alice_sdk.agents.tools.list(agent_id)}

    alice_sdk.agents.delete(agent_id)
    with pytest.raises(letta_client.NotFoundError):
        alice_sdk.agents.retrieve(agent_id)


def test_talks_plain_streamed_and_in_the_background(alice_sdk: Letta, agent_id: str) -> None:
    answer: Any = alice_sdk.agents.messages.create(agent_id, input="hi")
    assert answer.messages[-1].content == "stub says: hi"
    assert answer.usage.completion_tokens == 10

    stream = alice_sdk.agents.messages.create(
        agent_id, input="hi", streaming=True, stream_tokens=True
    )
    assert [chunk.message_type for chunk in stream][-1] == "usage_statistics"

    run = alice_sdk.agents.messages.create_async(agent_id, input="hi")
    assert alice_sdk.runs.retrieve(run.id).agent_id == agent_id
    assert run.id in {one.id for one in alice_sdk.runs.list(agent_id=agent_id).items}


def test_takes_up_a_background_stream(alice_sdk: Letta, agent_id: str) -> None:
    stream = alice_sdk.agents.messages.create(
        agent_id, input="one two three", streaming=True, stream_tokens=True, background=True
    )
    seen: list[Any] = list(stream)

    again: list[Any] = list(alice_sdk.runs.messages.stream(seen[0].run_id, starting_after=0))

    assert [one.seq_id for one in again if getattr(one, "seq_id", None)]


def test_keeps_memory_folders_and_conversations(alice_sdk: Letta, agent_id: str) -> None:
    block = alice_sdk.blocks.create(label="notes", value="x")
    alice_sdk.agents.blocks.attach(block.id, agent_id=agent_id)
    assert "notes" in {one.label for one in alice_sdk.agents.blocks.list(agent_id)}

    (passage,) = alice_sdk.agents.passages.create(agent_id, text="sky")
    assert [one.text for one in alice_sdk.agents.passages.list(agent_id)] == ["sky"]
    assert passage.id
    alice_sdk.agents.passages.delete(passage.id, agent_id=agent_id)

    folder = alice_sdk.folders.create(name="docs", embedding=EMBEDDING)
    file = alice_sdk.folders.files.upload(folder.id, file=("a.txt", b"hello", "text/plain"))
    alice_sdk.agents.folders.attach(folder.id, agent_id=agent_id)
    assert [one.id for one in alice_sdk.agents.folders.list(agent_id)] == [folder.id]
    assert [one.id for one in alice_sdk.folders.files.list(folder.id)] == [file.id]

    conversation = alice_sdk.conversations.create(agent_id=agent_id)
    events = list(
        alice_sdk.conversations.messages.create(
            conversation.id, messages=[{"role": "user", "content": "hi"}]
        )
    )
    assert events[-1].message_type == "usage_statistics"


def test_raises_its_own_exceptions(letta_for: SignIn, alice_sdk: Letta, agent_id: str) -> None:
    bob = letta_for("bob@example.com")

    assert list(bob.agents.list()) == []
    with pytest.raises(letta_client.NotFoundError):
        bob.agents.retrieve(agent_id)
    with pytest.raises(letta_client.PermissionDeniedError) as forbidden:
        alice_sdk.tools.create(source_code="def x(): ...")
    with pytest.raises(letta_client.UnprocessableEntityError):
        alice_sdk.agents.create(name="a/b", model=MODEL)
    with pytest.raises(letta_client.AuthenticationError):
        alice_sdk.with_options(api_key="nonsense").agents.list()

    assert "not offered" in str(forbidden.value)


def test_raises_what_ends_a_stream(alice_sdk: Letta, agent_id: str) -> None:
    stream = alice_sdk.agents.messages.create(agent_id, input="ERR:401", streaming=True)
    seen: list[Any] = []

    with pytest.raises(letta_client.APIStatusError, match="upstream_credential_rejected"):
        seen.extend(stream)  # keeps what came before

    assert "OpenAI" not in str(seen)


def test_asks_for_the_servers_health(alice_sdk: Letta) -> None:
    assert alice_sdk.health().status == "ok"


def test_sends_no_key_of_its_own() -> None:
    """That streams refuse keys troubles nobody who has not asked for them."""
    sent: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        return httpx.Response(500, headers={"retry-after-ms": "1"})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with (
        Letta(base_url="http://gateway", api_key="k", max_retries=1, http_client=http) as sdk,
        pytest.raises(letta_client.InternalServerError),
    ):
        sdk.agents.messages.create("agent-1", input="hi", streaming=True)

    assert [headers["x-stainless-retry-count"] for headers in sent] == ["0", "1"]
    assert not any("idempotency-key" in headers for headers in sent)
