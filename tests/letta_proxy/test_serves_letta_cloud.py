"""Letta Cloud: all users in one organization, and the gateway as the only wall between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from letta_proxy import proxy
from letta_proxy.models import LettaAccount
from letta_proxy.proof.people import sign_up
from letta_proxy.proof.run import Plan, prove
from tests.conftest import Running, RunningSupabase
from tests.letta_proxy.conftest import EMBEDDING, MODEL, Belongings, Caller, belongings_of


@pytest.fixture(autouse=True)
def cloud(gateway: str, letta: Running, settings: Settings) -> None:
    del gateway
    settings.LETTA_MODE = "cloud"
    letta.client.put("/_sandbox/cloud").raise_for_status()


@pytest.fixture
def plan(gateway: str, supabase: RunningSupabase) -> Plan:
    tokens = sign_up(supabase.url, gateway)
    return Plan(base_url=gateway, tokens=tokens, model=MODEL, embedding=EMBEDDING, is_cloud=True)


@pytest.fixture
def as_operator(letta: Running) -> Any:
    """Letta as whoever has its key sees it."""
    headers = {"authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}"}

    def get(path: str) -> Any:
        return letta.client.get(f"/v1{path}", headers=headers).raise_for_status().json()

    return get


def ids(things: list[dict[str, Any]]) -> list[str]:
    return [thing["id"] for thing in things]


def test_finds_no_leak(plan: Plan, letta: Running) -> None:
    report = prove(plan)

    assert [str(finding) for finding in report.findings] == []
    assert report.total().requests > 2000
    assert not [one for one in letta.requests() if "user_id" in one["headers"]]
    assert letta.requests("^/v1/admin") == []
    assert not LettaAccount.objects.exists()


async def _everything_is_theirs(*_arguments: object) -> bool:
    return True


def test_notices_what_a_stranger_has_changed(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "owns_all", _everything_is_theirs)

    found = "\n".join(str(one) for one in prove(replace(plan, pattern="*_block")).findings)

    assert "retrieve_block, other user, path block_id: the answer (200) holds" in found
    assert "modify_block, staff, every id of the path" not in found
    assert "retrieve_block, anybody, after all attempts of the others: the owner's" in found


def test_fails_without_the_filter_of_lists(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    from letta_proxy import reshape  # noqa: PLC0415

    async def everything(_exchange: object, document: Any) -> Any:
        return document

    monkeypatch.setattr(reshape, "only_own", everything)

    found = "\n".join(str(one) for one in prove(replace(plan, pattern="list_*s")).findings)

    for name in ("blocks", "archives", "folders", "conversations", "runs"):
        assert f"list_{name}, other user, with own ids: the answer (200) holds" in found


@pytest.mark.parametrize(
    "path", ["/agents/", "/blocks/", "/archives/", "/folders/", "/conversations/", "/runs/"]
)
def test_lists_what_is_ones_own(alice: Caller, bob: Caller, path: str) -> None:
    belongings_of(alice)
    of_bob = belongings_of(bob)

    things = bob.get(path)

    assert things
    assert {thing.get("agent_id", of_bob.agent_id) for thing in things} == {of_bob.agent_id}
    assert not set(ids(things)) & set(ids(alice.get(path)))


def test_fills_a_page_from_as_many_of_lettas_as_it_takes(
    alice: Caller, bob: Caller, letta: Running
) -> None:
    own = [bob.post("/blocks/", json={"label": "x", "value": "y"})["id"]]
    for _ in range(5):
        alice.post("/blocks/", json={"label": "x", "value": "y"})
    own += [bob.post("/blocks/", json={"label": "x", "value": "y"})["id"] for _ in range(2)]

    first = ids(bob.get("/blocks/?limit=2"))
    second = ids(bob.get(f"/blocks/?limit=2&after={first[-1]}"))
    third = ids(bob.get(f"/blocks/?limit=2&after={second[-1]}"))

    assert (first + second, third) == (own, [])
    assert len(letta.requests("^/v1/blocks/$")) < 20


def test_ends_the_official_clients_iteration(alice: Caller, bob: Caller, letta_for: Any) -> None:
    own = [bob.create_agent()["id"] for _ in range(3)]
    alice.create_agent()
    belongings = belongings_of(bob)
    client = letta_for("bob@example.com")

    listed = [agent.id for agent in client.agents.list(limit=2, order="asc")]
    pages = client.agents.messages.list(belongings.agent_id, limit=1, order="asc")
    messages = [message.id for message in pages]
    tools = [tool.name for tool in client.tools.list(limit=5)]

    assert listed == [*own, belongings.agent_id]
    assert len(messages) == len(set(messages)) > 2
    assert "memory_insert" in tools
    assert "run_code" not in tools


def test_tags_what_is_made_and_shows_no_tag(alice: Caller, as_operator: Any) -> None:
    agent = alice.create_agent(
        tags=["mine", "gw:abc"], memory_blocks=[{"label": "human", "value": "x"}]
    )
    block = alice.post("/blocks/", json={"label": "x", "value": "y"})
    path = f"/agents/{agent['id']}"

    (tag,) = {one for one in as_operator(path)["tags"] if one.startswith("gw:")}
    assert tag != "gw:abc"
    assert set(as_operator(path)["tags"]) == {tag, "mine"}
    assert agent["tags"] == ["mine"]
    assert as_operator(f"/blocks/{block['id']}").get("tags") in ([tag], None)

    changed = alice("PATCH", path, json={"tags": ["other"]}).json()
    alice("PATCH", path, json={"description": "x"}).raise_for_status()

    assert changed["tags"] == ["other"]
    assert set(as_operator(path)["tags"]) == {tag, "other"}
    assert "gw:" not in alice("GET", "/agents/").text
    assert "gw:" not in alice("GET", f"{path}/export").text


def test_asks_letta_for_own_agents_by_tag(alice: Caller, bob: Caller, letta: Running) -> None:
    own = bob.create_agent(tags=["a"])["id"]
    bob.create_agent(tags=["b"])
    alice.create_agent(tags=["a"])

    assert ids(bob.get("/agents/?tags=a")) == [own]
    assert ids(bob.get("/agents/?tags=a&match_all_tags=true")) == [own]
    assert len(bob.get("/agents/")) == 2
    assert "tags=gw%3A" in letta.requests("^/v1/agents/$")[-1]["query"]


def test_lets_two_users_have_folders_of_one_name(alice: Caller, bob: Caller) -> None:
    body = {"name": "docs", "embedding": EMBEDDING}
    folder = alice.post("/folders/", json=body)
    path = f"/folders/{folder['id']}"

    assert bob("POST", "/folders/", json=body).status_code == 200
    assert (folder["name"], alice.get(path)["name"]) == ("docs", "docs")
    assert ids(alice.get("/folders/?name=docs")) == [folder["id"]]
    assert alice("PATCH", path, json={"name": "papers"}).json()["name"] == "papers"
    assert bob("PATCH", path, json={"name": "papers"}).status_code == 404


def test_deletes_an_own_passage_and_no_other(
    alice: Caller, bob: Caller, of_alice: Belongings, of_bob: Belongings
) -> None:
    foreign = f"/agents/{of_bob.agent_id}/archival-memory/{of_alice.passage_id}"

    assert bob("DELETE", foreign).status_code == 404
    assert len(alice.get(f"/agents/{of_alice.agent_id}/archival-memory")) == 1
    own = f"/agents/{of_alice.agent_id}/archival-memory/{of_alice.passage_id}"
    assert alice("DELETE", own).status_code == 200


def test_deletes_a_passage_that_the_agent_made_and_a_list_has_shown(
    alice: Caller, of_alice: Belongings
) -> None:
    alice.say(of_alice.agent_id, 'TOOL:archival_memory_insert {"content": "moss"}')
    path = f"/agents/{of_alice.agent_id}/archival-memory"

    for passage in alice.get(path):
        assert alice("DELETE", f"{path}/{passage['id']}").status_code == 200
    assert alice.get(path) == []
