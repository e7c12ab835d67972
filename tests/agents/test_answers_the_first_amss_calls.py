from __future__ import annotations

from typing import Any

import pytest

from tests.agents.conftest import BOTH_DRIVERS, Caller, agent_file

pytestmark = BOTH_DRIVERS


def test_tells_its_health(alice: Caller) -> None:
    health = alice.get("/ams/health")

    assert health["status"] == "ok"
    assert health["checks"]["letta_api_key"] is True


def test_looks_at_files(alice: Caller) -> None:
    good = alice.post("/ams/templates/validate", json=agent_file())
    bad = alice.post("/ams/templates/validate", content=b"af_version: '1.0'")

    assert good == {"format": "json", "validation": {"valid": True, "errors": []}}
    assert (bad["format"], bad["validation"]["valid"]) == ("yaml", False)
    pointers = {error["pointer"] for error in bad["validation"]["errors"]}
    assert {"/engine", "/persona"} <= pointers


def test_publishes_files(alice: Caller) -> None:
    published = alice("POST", "/ams/templates/publish", json=agent_file())

    assert published.status_code == 201
    assert set(published.json()) == {"template_id", "version", "checksum", "is_latest"}
    again = alice("POST", "/ams/templates/publish", json=agent_file())
    assert again.status_code == 409


def test_upgrades_agents(alice: Caller, bob: Caller, agent: dict[str, Any], template: str) -> None:
    path = f"/ams/agents/{agent['id']}/upgrade"
    assert alice.publish(**_changed("1.1.0")) == template

    said = alice.post(path, json={"use_latest": True})
    assert (said["dry_run"], len(said["plan"])) == (True, 1)
    done = alice.post(path, json={"target_version": "1.1.0", "dry_run": False})
    assert (done["applied"], done["new_version"], done["plan"]) == (True, "1.1.0", said["plan"])
    assert alice.letta("GET", f"/agents/{agent['id']}").json()["system"] == "You serve."
    assert bob("POST", path, json={}).status_code == 404


def _changed(version: str) -> dict[str, Any]:
    file = agent_file(version)
    persona = {**file["persona"], "system_prompt": "You serve."}
    return {"version": version, "persona": persona}


def test_tells_whose_agents_there_are(
    alice: Caller, bob: Caller, agent: dict[str, Any], template: str
) -> None:
    newest = alice.create(template)
    me = alice.get("/ams/me")

    assert (me["id"], me["email"]) == (agent["user_id"], "alice@example.com")
    assert me["litellm_key"] is None
    assert (me["letta_agent_id"], me["agent_status"]) == (newest["id"], "active")
    assert [one["agent_id"] for one in me["agents"]] == [newest["id"], agent["id"]]
    assert me["agents"][0]["template_id"] == template
    assert me["agents"][0]["version"] == "1.0.0"
    assert me["profile_exists"] is True
    assert bob.get("/ams/me")["agents"] == []
    assert bob.get("/ams/me")["letta_agent_id"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ams/health"),
        ("GET", "/ams/me"),
        ("POST", "/ams/templates/validate"),
        ("POST", "/ams/templates/publish"),
        ("POST", "/ams/agents/create"),
        ("POST", "/ams/agents/agent-1/upgrade"),
    ],
)
def test_wants_a_token(alice: Caller, method: str, path: str) -> None:
    alice.client.headers.pop("authorization")

    assert alice(method, path).status_code == 401
