from __future__ import annotations

import httpx
import pytest

from letta_proxy.catalogue import CATALOGUE
from letta_proxy.models import Kind, OwnedResource
from letta_proxy.ownership import Created
from letta_proxy.reshape import created
from tests.conftest import Running
from tests.letta_proxy.conftest import EMBEDDING, MODEL, Belongings, Caller
from tests.timing import wait_until


def owned(kind: Kind) -> list[str]:
    return list(OwnedResource.objects.filter(kind=kind).values_list("upstream_id", flat=True))


def test_records_an_agent_with_its_blocks(alice: Caller) -> None:
    agent = alice.create_agent(memory_blocks=[{"label": "human", "value": "x"}])

    assert owned(Kind.AGENT) == [agent["id"]]
    block = OwnedResource.objects.get(kind=Kind.BLOCK)
    assert (block.upstream_id, block.agent_id) == (agent["blocks"][0]["id"], agent["id"])


def test_reads_from_an_answer_what_letta_made_beside_it() -> None:
    """A sleeptime agent beside an agent, own blocks beside a conversation (measured)."""
    agents, _ = CATALOGUE.match("POST", ("agents",))
    conversations, _ = CATALOGUE.match("POST", ("conversations",))

    assert created(agents, {"id": "agent-1", "multi_agent_group": {"agent_ids": ["agent-2"]}}) == [
        Created(kind=Kind.AGENT, upstream_id="agent-1"),
        Created(kind=Kind.AGENT, upstream_id="agent-2", agent_id="agent-1"),
    ]
    answer = {"id": "conv-1", "agent_id": "agent-1", "isolated_block_ids": ["block-1"]}
    assert created(conversations, answer) == [
        Created(kind=Kind.CONVERSATION, upstream_id="conv-1", agent_id="agent-1"),
        Created(kind=Kind.BLOCK, upstream_id="block-1", agent_id="agent-1"),
    ]


def test_records_each_kind(alice: Caller, of_alice: Belongings) -> None:
    block = alice.post("/blocks/", json={"label": "x", "value": "y"})
    archive = alice.post("/archives/", json={"name": "x", "embedding": EMBEDDING})
    fork = alice.post(f"/conversations/{of_alice.conversation_id}/fork")
    run = alice.post(f"/agents/{of_alice.agent_id}/messages/async", json={"input": "hi"})

    assert owned(Kind.FOLDER) == [of_alice.folder_id]
    assert owned(Kind.FILE) == [of_alice.file_id]
    assert set(owned(Kind.ARCHIVE)) == {of_alice.archive_id, archive["id"]}
    assert owned(Kind.PASSAGE) == [of_alice.passage_id]
    assert owned(Kind.RUN) == [run["id"]]
    assert set(owned(Kind.BLOCK)) == {of_alice.block_id, block["id"]}
    assert set(owned(Kind.CONVERSATION)) == {of_alice.conversation_id, fork["id"]}
    for path in (f"/blocks/{block['id']}", f"/archives/{archive['id']}", f"/runs/{run['id']}"):
        assert (path, alice("GET", path).status_code) == (path, 200)


def test_records_a_file_from_the_path_of_older_clients(alice: Caller) -> None:
    folder = alice.post("/folders/", json={"name": "docs", "embedding": EMBEDDING})
    answer = alice.raw(
        "POST",
        f"/api/v1/letta/sources/{folder['id']}/upload?duplicate_handling=skip",
        files={"file": ("a.txt", b"hello", "text/plain")},
        data={"name": "b.txt"},
    )

    assert owned(Kind.FILE) == [answer.json()["id"]]


def test_records_an_agent_although_the_client_has_left(alice: Caller, letta: Running) -> None:
    alice.get("/agents/")
    letta.fault("^/v1/agents/$", method="POST", delay=0.2)

    with pytest.raises(httpx.ReadTimeout):
        alice("POST", "/agents/", json={"name": "Ada", "model": MODEL}, timeout=0.1)

    wait_until(lambda: len(owned(Kind.AGENT)) == 1)
    (agent_id,) = owned(Kind.AGENT)
    assert alice("GET", f"/agents/{agent_id}").status_code == 200


def test_records_a_file_although_the_client_has_left(alice: Caller, letta: Running) -> None:
    folder = alice.post("/folders/", json={"name": "docs", "embedding": EMBEDDING})
    letta.fault("/upload$", method="POST", delay=0.2)
    file = {"file": ("a.txt", b"hello", "text/plain")}

    with pytest.raises(httpx.ReadTimeout):
        alice("POST", f"/folders/{folder['id']}/upload", files=file, timeout=0.1)

    wait_until(lambda: len(owned(Kind.FILE)) == 1)


def test_forgets_what_is_deleted(alice: Caller, of_alice: Belongings) -> None:
    for path in (
        f"/conversations/{of_alice.conversation_id}",
        f"/folders/{of_alice.folder_id}/{of_alice.file_id}",
        f"/folders/{of_alice.folder_id}",
        f"/archives/{of_alice.archive_id}",
        f"/blocks/{of_alice.block_id}",
        f"/agents/{of_alice.agent_id}",
    ):
        alice("DELETE", path).raise_for_status()

    wait_until(lambda: not OwnedResource.objects.exists())


def test_forgets_conversations_with_their_agent_and_keeps_blocks(
    alice: Caller, of_alice: Belongings
) -> None:
    alice("DELETE", f"/agents/{of_alice.agent_id}").raise_for_status()

    wait_until(lambda: owned(Kind.CONVERSATION) == owned(Kind.AGENT) == [])
    assert owned(Kind.BLOCK) == [of_alice.block_id]
    assert alice("GET", f"/blocks/{of_alice.block_id}").status_code == 200


def test_keeps_what_letta_did_not_delete(
    alice: Caller, letta: Running, of_alice: Belongings
) -> None:
    letta.fault(f"^/v1/agents/{of_alice.agent_id}$", method="DELETE", status=500)

    assert alice("DELETE", f"/agents/{of_alice.agent_id}").status_code == 502
    assert owned(Kind.AGENT) == [of_alice.agent_id]


def test_asks_letta_once_whose_a_run_is(
    alice: Caller, letta: Running, of_alice: Belongings
) -> None:
    for _ in range(3):
        alice.get(f"/runs/{of_alice.run_id}/usage")

    assert len(letta.requests(f"^/v1/runs/{of_alice.run_id}$")) == 1


def test_asks_neither_letta_nor_the_database_whose_an_agent_is(
    alice: Caller, letta: Running
) -> None:
    agent_id = alice.create_agent()["id"]
    alice.get(f"/agents/{agent_id}")
    OwnedResource.objects.all().delete()
    letta.client.delete("/_sandbox/requests")

    assert alice("GET", f"/agents/{agent_id}").status_code == 200
    assert len(letta.requests()) == 1


def test_leaves_a_thing_with_whoever_had_it_first(
    alice: Caller, bob: Caller, letta: Running
) -> None:
    """Even where Letta itself has attached it to somebody else's agent."""
    block = alice.post("/blocks/", json={"label": "secret", "value": "x"})
    of_bob = bob.create_agent()
    letta.client.patch(
        f"/v1/agents/{of_bob['id']}",
        json={"block_ids": [block["id"]]},
        headers={
            "authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}",
            "user_id": of_bob["created_by_id"],
        },
    ).raise_for_status()

    assert bob("GET", f"/blocks/{block['id']}").status_code == 404
    (question,) = letta.requests(f"^/v1/blocks/{block['id']}")
    assert question["path"].endswith("/agents")
    assert alice("GET", f"/blocks/{block['id']}").status_code == 200


def test_hands_out_nothing_that_it_could_not_record(alice: Caller, letta: Running) -> None:
    letta.fault("^/v1/agents/$", method="POST", garbage=True)

    answer = alice("POST", "/agents/", json={"name": "Ada", "model": MODEL})

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_answer_invalid")
