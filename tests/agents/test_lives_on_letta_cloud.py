"""Letta Cloud, where all users' agents are in one organization and tags tell whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from agents.reconcile import Repair, reconcile
from gateway_core import cache
from letta_proxy.models import OwnedResource
from tests.agents.conftest import Caller, rows
from tests.conftest import Running


@pytest.fixture
def cloud(letta: Running, settings: Any) -> Running:
    letta.client.put("/_sandbox/cloud").raise_for_status()
    settings.LETTA_MODE = "cloud"
    cache.clear_all()
    return letta


def everything(cloud: Running, collection: str = "agents") -> list[dict[str, Any]]:
    headers = {"authorization": f"Bearer {cloud.credentials['LETTA_API_KEY']}"}
    answer = cloud.client.get(f"/v1/{collection}/?limit=100", headers=headers)
    return list(answer.raise_for_status().json())


def test_an_agents_life(cloud: Running, alice: Caller, bob: Caller, template: str) -> None:
    agent = alice.create(template, tags=["vip"])
    path = f"/agents/{agent['id']}"
    (row,) = rows()

    (made,) = everything(cloud)
    assert made["tags"] == [row.tag, f"gw:{row.user_id}", "vip"]
    assert agent["tags"] == alice.letta("GET", path).json()["tags"] == ["vip"]
    assert alice("PATCH", path, json={"tags": ["eu"]}).json()["tags"] == ["eu"]
    assert everything(cloud)[0]["tags"] == [row.tag, f"gw:{row.user_id}", "eu"]
    assert bob("GET", path).status_code == bob.letta("GET", path).status_code == 404
    clone = alice.post(f"{path}/clone", json={"include_messages": True})["agent"]
    for agent_id in (agent["id"], clone["id"]):
        assert alice("DELETE", f"/agents/{agent_id}").status_code == 204
    assert everything(cloud) == everything(cloud, "blocks") == []


def test_clears_away_what_nobody_has_heard_of(
    cloud: Running, alice: Caller, bob: Caller, template: str
) -> None:
    alice.create(template)
    kept = bob.create(bob.publish())["id"]
    OwnedResource.objects.exclude(agent_id=kept).exclude(upstream_id=kept).delete()
    Agent.objects.exclude(agent_id=kept).delete()

    assert reconcile(grace_seconds=0).counts == {Repair.ORPHANED: 1}
    assert [one["id"] for one in everything(cloud)] == [kept]


def test_adopts_by_the_owners_tag(cloud: Running, alice: Caller, bob: Caller) -> None:
    made = {}
    for caller, name in ((alice, "Ada"), (bob, "Bea")):
        body = {"name": name, "model": "openai-proxy/stub-chat"}
        made[name] = caller.letta("POST", "/agents/", json=body).json()["id"]
    OwnedResource.objects.all().delete()
    Agent.objects.all().delete()

    assert reconcile(grace_seconds=0).counts == {Repair.ADOPTED: 2}

    assert [one["id"] for one in alice.get("/agents")["data"]] == [made["Ada"]]
    assert [one["id"] for one in bob.get("/agents")["data"]] == [made["Bea"]]
    assert len(everything(cloud)) == 2
