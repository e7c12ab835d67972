"""The official SDK, unmodified, against the stand-in."""

from __future__ import annotations

from typing import Any

import letta_client
import pytest

from tests.gateway_project.sandbox.letta.conftest import AGENT, Tenant
from tests.timing import wait_until


def _kinds(stream: Any) -> list[str]:
    return [type(event).__name__ for event in stream]


def test_makes_lists_changes_and_deletes_agents(alice: Tenant) -> None:
    made = alice.sdk.agents.create(**AGENT, tags=["a", "b"])  # type: ignore[arg-type]
    other = alice.sdk.agents.create(**AGENT | {"name": "other"})  # type: ignore[arg-type]
    assert [block.value for block in made.blocks] == ["Name: Ann"]
    assert {tool.name for tool in made.tools} == {
        "conversation_search",
        "memory_insert",
        "memory_replace",
    }
    assert [agent.id for agent in alice.sdk.agents.list()] == [other.id, made.id]
    assert [agent.id for agent in alice.sdk.agents.list(tags=["b"])] == [made.id]
    assert alice.sdk.agents.update(made.id, description="new").description == "new"
    alice.sdk.agents.delete(made.id)
    with pytest.raises(letta_client.NotFoundError):
        alice.sdk.agents.retrieve(made.id)


def test_pages_through_agents(alice: Tenant) -> None:
    ids = [alice.agent(name=f"agent {i}") for i in range(5)]
    assert [agent.id for agent in alice.sdk.agents.list(limit=2)] == ids[::-1]
    assert [agent.id for agent in alice.sdk.agents.list(limit=2, order="asc")] == ids
    page = alice.sdk.agents.list(limit=2, after=ids[2])
    assert [agent.id for agent in page.items] == [ids[1], ids[0]]


def test_shows_relations_only_when_asked(alice: Tenant) -> None:
    agent_id = alice.agent()
    assert alice.sdk.agents.retrieve(agent_id).tools == []
    full = alice.sdk.agents.retrieve(agent_id, include=["agent.tools", "agent.blocks"])
    assert len(full.tools) == 3
    assert len(full.blocks) == 1


def test_answers_messages(alice: Tenant) -> None:
    agent_id = alice.agent()
    answer = alice.sdk.agents.messages.create(agent_id, input="hello")
    assert [m.content for m in answer.messages] == ["stub says: hello"]  # type: ignore[union-attr]
    assert answer.stop_reason.stop_reason == "end_turn"
    assert answer.usage.total_tokens
    kinds = [m.message_type for m in alice.sdk.agents.messages.list(agent_id)]
    assert kinds == ["system_message", "user_message", "assistant_message"]


def test_edits_memory_through_a_tool(alice: Tenant) -> None:
    agent_id = alice.agent()
    text = 'TOOL:memory_insert {"label": "human", "new_string": "likes tea"}'
    answer = alice.sdk.agents.messages.create(agent_id, input=text)
    assert [m.message_type for m in answer.messages] == [
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    block = alice.sdk.agents.blocks.retrieve("human", agent_id=agent_id)
    assert block.value == "Name: Ann\nlikes tea"


def test_streams_and_resumes_a_background_run(alice: Tenant) -> None:
    agent_id = alice.agent()
    stream = alice.sdk.agents.messages.create(
        agent_id,
        messages=[{"role": "user", "content": "one two"}],
        streaming=True,
        stream_tokens=True,
        background=True,
    )
    events = list(stream)
    words = [e.content for e in events if e.message_type == "assistant_message"]
    assert "".join(words) == "stub says: one two"  # type: ignore[arg-type]
    assert [getattr(e, "seq_id", None) for e in events] == [1, 2, 3, 4, 5, None, None]
    run_id = events[0].run_id  # type: ignore[union-attr]
    assert run_id
    again = alice.sdk.runs.messages.stream(run_id, starting_after=3)
    assert [getattr(e, "seq_id", None) for e in again] == [4, 5, None, None]
    assert alice.sdk.runs.retrieve(run_id).status == "completed"
    assert alice.sdk.runs.usage.retrieve(run_id).completion_tokens == 10
    assert len(alice.sdk.runs.steps.list(run_id).items) == 1
    kinds = [m.message_type for m in alice.sdk.runs.messages.list(run_id)]
    assert kinds == ["user_message", "assistant_message"]


def test_answers_later_when_sent_async(alice: Tenant) -> None:
    agent_id = alice.agent()
    messages: Any = [{"role": "user", "content": "x"}]
    run = alice.sdk.agents.messages.create_async(agent_id, messages=messages)
    wait_until(lambda: alice.sdk.runs.retrieve(run.id or "").status == "completed")
    assert [r.id for r in alice.sdk.runs.list(agent_id=agent_id)] == [run.id]


def test_attaches_changes_and_detaches_blocks(alice: Tenant) -> None:
    agent_id = alice.agent()
    block = alice.sdk.blocks.create(label="shared", value="v")
    alice.sdk.agents.blocks.attach(block.id, agent_id=agent_id)
    assert {b.label for b in alice.sdk.agents.blocks.list(agent_id)} == {"human", "shared"}
    alice.sdk.agents.blocks.update("shared", agent_id=agent_id, value="new")
    assert alice.sdk.blocks.retrieve(block.id).value == "new"
    assert [a.id for a in alice.sdk.blocks.agents.list(block.id)] == [agent_id]
    alice.sdk.agents.blocks.detach(block.id, agent_id=agent_id)
    alice.sdk.blocks.delete(block.id)
    assert [b.label for b in alice.sdk.agents.blocks.list(agent_id)] == ["human"]


def test_talks_in_conversations(alice: Tenant) -> None:
    agent_id = alice.agent()
    conversation = alice.sdk.conversations.create(agent_id=agent_id, summary="first")
    stream = alice.sdk.conversations.messages.create(
        conversation.id, messages=[{"role": "user", "content": "hi"}]
    )
    assert _kinds(stream) == [
        "LettaPing",
        "AssistantMessage",
        "LettaStopReason",
        "LettaUsageStatistics",
    ]
    listed = alice.sdk.conversations.messages.list(conversation.id).items  # paging on repeats
    kinds = [m.message_type for m in listed]
    assert kinds == ["assistant_message", "user_message", "system_message"]
    assert [c.summary for c in alice.sdk.conversations.list(agent_id=agent_id)] == ["first"]
    alice.sdk.conversations.delete(conversation.id)
    assert alice.sdk.conversations.list(agent_id=agent_id) == []


@pytest.mark.parametrize("alias", ["default", "agent"])
def test_takes_an_agents_own_thread_for_a_conversation(alice: Tenant, alias: str) -> None:
    agent_id = alice.agent()
    name = agent_id if alias == "agent" else "default"
    body = {"agent_id": agent_id, "input": "hi", "streaming": False}
    answer = alice.make(f"/v1/conversations/{name}/messages", **body)
    assert answer["messages"][0]["content"] == "stub says: hi"
    assert len(alice.http.get(f"/v1/agents/{agent_id}/messages").json()) == 3


def test_takes_files_and_shows_them_to_agents(alice: Tenant) -> None:
    agent_id = alice.agent()
    folder = alice.sdk.folders.create(name="docs", embedding="openai/text-embedding-3-small")
    assert folder.id.startswith("source-")
    upload: Any = ("notes.txt", b"hello world\n", "text/plain")
    file = alice.sdk.folders.files.upload(folder.id, file=upload)
    assert (file.processing_status, file.file_size) == ("parsing", 12)
    wait_until(lambda: _status(alice, folder.id) == "completed")
    alice.sdk.agents.folders.attach(folder.id, agent_id=agent_id)
    assert [f.name for f in alice.sdk.agents.folders.list(agent_id)] == ["docs"]
    assert [f.file_name for f in alice.sdk.agents.files.list(agent_id)] == ["docs/notes.txt"]
    tools = {tool.name for tool in alice.sdk.agents.tools.list(agent_id)}
    assert {"open_files", "grep_files", "semantic_search_files"} <= tools
    alice.sdk.folders.files.delete(file.id or "", folder_id=folder.id)
    alice.sdk.folders.delete(folder.id)
    assert list(alice.sdk.agents.files.list(agent_id)) == []


def _status(alice: Tenant, folder_id: str) -> str | None:
    return alice.sdk.folders.files.list(folder_id).items[0].processing_status


def test_remembers_and_finds_passages(alice: Tenant) -> None:
    agent_id = alice.agent()
    alice.sdk.agents.passages.create(agent_id, text="the sky is blue", tags=["fact"])
    found = alice.sdk.agents.passages.search(agent_id, query="SKY")
    assert [r.content for r in found.results] == ["the sky is blue"]
    (passage,) = alice.sdk.agents.passages.list(agent_id)
    assert passage.embedding
    alice.sdk.agents.passages.delete(passage.id or "", agent_id=agent_id)
    assert alice.sdk.agents.passages.list(agent_id) == []


def test_copies_agents_as_files(alice: Tenant) -> None:
    agent_id = alice.agent(tags=["t"])
    exported = alice.http.get(f"/v1/agents/{agent_id}/export").content
    made = alice.sdk.agents.import_file(file=("a.af", exported))
    copy = alice.http.get(f"/v1/agents/{made.agent_ids[0]}").json()
    assert (copy["name"], copy["tags"]) == ("an agent_copy", ["t"])
    assert [block["value"] for block in copy["blocks"]] == ["Name: Ann"]


def test_lists_models_tools_tags_and_archives(alice: Tenant) -> None:
    alice.agent(tags=["z", "y"])
    assert "openai-proxy/stub-chat" in {m.handle for m in alice.sdk.models.list()}
    handles = {m.handle for m in alice.sdk.models.embeddings.list()}
    assert "openai/text-embedding-3-small" in handles
    assert len(list(alice.sdk.tools.list(limit=100))) == 26
    assert list(alice.sdk.tags.list()) == ["y", "z"]
    archive = alice.sdk.archives.create(name="a", embedding="openai/text-embedding-3-small")
    alice.sdk.archives.passages.create(archive.id, text="kept")
    assert [found.passage.text for found in alice.sdk.passages.search(query="kept")] == ["kept"]
    alice.sdk.archives.delete(archive.id)
    assert list(alice.sdk.archives.list()) == []


def test_tells_model_errors_apart(alice: Tenant) -> None:
    agent_id = alice.agent()
    for directive, error in (
        ("ERR:429", letta_client.RateLimitError),
        ("ERR:401", letta_client.AuthenticationError),
        ("ERR:500", letta_client.InternalServerError),
        ("CTX", letta_client.BadRequestError),
    ):
        with pytest.raises(error):
            alice.sdk.agents.messages.create(agent_id, input=directive)
