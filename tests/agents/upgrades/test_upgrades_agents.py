from __future__ import annotations

from typing import Any

import httpx
import pytest

from agents.models import Agent, Status
from agents.upgrades.models import Migration, MigrationState
from gateway_core.audit.models import AuditEvent
from tests.agents.conftest import BOTH_DRIVERS, MODEL, Caller, agent_file, rows
from tests.agents.upgrades.conftest import HUMAN, RULES, Memory, next_file
from tests.conftest import Running


def upgrade(caller: Caller, agent: dict[str, Any], **body: Any) -> dict[str, Any]:
    return dict(caller.post(f"/agents/{agent['id']}/upgrade", json=body))


@BOTH_DRIVERS
def test_only_says_what_it_would_do_unless_told_otherwise(
    alice: Caller, published: dict[str, Any], memory: Memory, letta: Running
) -> None:
    before, agent = memory.document(), alice.get(f"/agents/{published['id']}")
    letta.client.delete("/_sandbox/requests")

    said = upgrade(alice, published)

    assert said["dry_run"] is True
    assert said["target_version"] == "1.1.0"
    assert [(line["op"], line["pointer"]) for line in said["plan"]] == [
        ("add", "/memory_layout/blocks/goals"),
        ("change", "/memory_layout/blocks/human"),
        ("remove", "/memory_layout/blocks/rules"),
        ("change", "/tools"),
        ("change", "/persona/system_prompt"),
    ]
    assert {
        "pointer": "/memory_layout/blocks/human/limit",
        "before": 2000,
        "after": 3000,
    } in said["diff"]
    assert (said["conflicts"], said["warnings"]) == ([], [])
    assert {request["method"] for request in letta.requests("^/v1/")} == {"GET"}
    assert (memory.document(), alice.get(f"/agents/{published['id']}")) == (before, agent)
    assert alice.get(f"/agents/{published['id']}/migrations")["data"] == []


@BOTH_DRIVERS
def test_does_what_it_said(alice: Caller, published: dict[str, Any], memory: Memory) -> None:
    memory.learn("human", "Name: Ann. Likes tea.")
    said = upgrade(alice, published)

    done = upgrade(alice, published, dry_run=False, plan_hash=said["plan_hash"])

    assert (done["applied"], done["new_version"]) == (True, "1.1.0")
    assert done["plan"] == said["plan"]
    document = memory.document()
    assert document["system"] == "You serve Ann."
    assert [tool["name"] for tool in document["tools"]] == [
        "memory_insert",
        "archival_memory_insert",
        "conversation_search",
    ]
    assert memory.blocks() == {"human": "Name: Ann. Likes tea.", "goals": "Serve."}
    human = next(block for block in document["blocks"] if block["label"] == "human")
    assert (human["limit"], human["description"]) == (3000, "Who it is.")
    agent = alice.get(f"/agents/{published['id']}")
    assert (agent["status"], agent["template"]["version"]) == ("active", "1.1.0")
    assert agent["variables"] == published["variables"]
    assert done["agent"] == agent
    assert document["tags"] == [rows()[0].tag, "vip"]
    assert AuditEvent.objects.filter(action="agent.upgrade").count() == 1
    assert upgrade(alice, published, force=True)["plan"] == []


def test_shows_no_secret_that_another_version_would_show(alice: Caller, template: str) -> None:
    agent = alice.create(template, variables={"user_name": "Ann", "search_key": "s3cr3t"})
    after = agent_file("1.1.0")
    del after["persona"]["variables_schema"]["properties"]["search_key"]["x-secret"]
    after["persona"]["system_prompt"] = "The key is {{search_key}}."
    alice.post("/templates/publish", json=after)

    for is_dry_run in (True, False):
        answer = alice("POST", f"/agents/{agent['id']}/upgrade", json={"dry_run": is_dry_run})
        assert (answer.status_code, answer.json()["error"]["param"]) == (
            422,
            "/variables/search_key",
        )
        assert "s3cr3t" not in answer.text
    assert rows()[0].status == Status.ACTIVE

    done = upgrade(alice, agent, dry_run=False, variables={"search_key": "for all to see"})
    assert done["agent"]["variables"]["search_key"] == "for all to see"


@BOTH_DRIVERS
def test_tells_what_an_agent_went_through(alice: Caller, published: dict[str, Any]) -> None:
    done = upgrade(alice, published, dry_run=False)

    (told,) = alice.get(f"/agents/{published['id']}/migrations")["data"]
    assert told == done["migration"]
    assert (told["direction"], told["state"]) == ("upgrade", "applied")
    assert (told["from_version"], told["to_version"], told["steps_done"]) == ("1.0.0", "1.1.0", 5)
    detail = alice.get(f"/agents/{published['id']}/migrations/{told['id']}")
    assert {d["pointer"] for d in detail["diff"]} >= {"/persona/system_prompt", "/tools"}
    row = Migration.objects.get()
    assert "Ann" not in f"{row.encrypted}{row.plan}"


def test_does_no_other_plan_than_the_one_agreed_to(
    alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    said = upgrade(alice, published)
    memory.learn("rules", "Be bold.")

    answer = alice(
        "POST",
        f"/agents/{published['id']}/upgrade",
        json={"dry_run": False, "plan_hash": said["plan_hash"]},
    )

    assert (answer.status_code, answer.json()["error"]["param"]) == (409, "/plan_hash")
    first, *others = answer.json()["errors"]
    now = upgrade(alice, published)
    assert first == {"pointer": "/plan_hash", "message": f"is {now['plan_hash']} now"}
    assert [error["pointer"] for error in others] == [line["pointer"] for line in now["plan"]]
    assert "/memory_layout/blocks/rules" not in {error["pointer"] for error in others}
    assert memory.document()["system"] == "You help Ann."
    assert alice.get(f"/agents/{published['id']}")["status"] == "active"
    assert not Migration.objects.exists()

    choice = {"strategy": "keep_agent"}
    agreed = upgrade(alice, published, **choice)["plan_hash"]
    upgrade(alice, published, dry_run=False, plan_hash=agreed, **choice)
    assert memory.blocks()["rules"] == "Be bold."


@BOTH_DRIVERS
def test_the_plan_of_another_version_is_another_one(
    alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    said = upgrade(alice, published)
    alice.post("/templates/publish", json=next_file("1.2.0"))  # does the same

    path, body = f"/agents/{published['id']}/upgrade", {"plan_hash": said["plan_hash"]}
    answer = alice("POST", path, json={**body, "dry_run": False})
    assert (answer.status_code, answer.json()["error"]["param"]) == (409, "/plan_hash")
    assert memory.document()["system"] == "You help Ann."

    upgrade(alice, published, dry_run=False, target_version="1.1.0", **body)
    assert alice.get(f"/agents/{published['id']}")["template"]["version"] == "1.1.0"


@BOTH_DRIVERS
def test_upgrades_the_agent_that_its_caller_knows(
    alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    path = f"/agents/{published['id']}"
    alice("PATCH", path, json={"name": "Eve"}).raise_for_status()
    answer = alice(
        "POST", f"{path}/upgrade", json={"dry_run": False}, headers={"if-match": published["etag"]}
    )
    assert (answer.status_code, answer.json()["code"]) == (412, "caller_etag_mismatch")
    assert memory.document()["system"] == "You help Ann."


@BOTH_DRIVERS
@pytest.mark.parametrize(
    ("choice", "value"), [("keep_agent", "Be bold."), ("take_template", "Be very kind.")]
)
def test_leaves_conflicts_to_the_caller(
    alice: Caller, agent: dict[str, Any], memory: Memory, choice: str, value: str
) -> None:
    rules = {**RULES, "value": "Be very {{tone}}."}
    alice.post("/templates/publish", json=next_file(memory_layout={"blocks": [HUMAN, rules]}))
    memory.learn("rules", "Be bold.")
    pointer = "/memory_layout/blocks/rules/value"
    (conflict,) = upgrade(alice, agent)["conflicts"]
    assert conflict["pointer"] == pointer

    answer = alice("POST", f"/agents/{agent['id']}/upgrade", json={"dry_run": False})
    assert (answer.status_code, answer.json()["errors"]) == (409, [conflict])
    assert memory.document()["system"] == "You help Ann."

    upgrade(alice, agent, dry_run=False, strategies={pointer: choice})
    assert memory.blocks()["rules"] == value
    assert memory.document()["system"] == "You serve Ann."


@BOTH_DRIVERS
def test_asks_for_variables_that_the_agent_lacks(
    alice: Caller, agent: dict[str, Any], memory: Memory
) -> None:
    persona = agent_file()["persona"]
    schema = persona["variables_schema"]
    properties = {"user_name": {"type": "string"}, "city": {"type": "string"}}
    persona = {
        "system_prompt": "You help {{user_name}} of {{city}}.",
        "variables_schema": {**schema, "properties": properties},
    }
    layout = {"blocks": [HUMAN]}
    alice.post("/templates/publish", json=next_file(persona=persona, memory_layout=layout))

    answer = alice("POST", f"/agents/{agent['id']}/upgrade", json={"dry_run": False})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/variables/city")
    assert alice.get(f"/agents/{agent['id']}")["status"] == "active"

    upgrade(alice, agent, dry_run=False, variables={"city": "Rome"})
    assert memory.document()["system"] == "You help Ann of Rome."
    assert alice.get(f"/agents/{agent['id']}")["variables"] == {"user_name": "Ann", "city": "Rome"}


@BOTH_DRIVERS
def test_changes_model_settings_and_the_tools_environment(
    alice: Caller, template: str, letta: Running
) -> None:
    file = agent_file()
    agent = alice.create(template, variables={"user_name": "Ann", "search_key": "s3cr3t"})
    engine = {**file["engine"], "hyperparams": {"temperature": 0.3, "context_window": 9000}}
    alice.post(
        "/templates/publish",
        json=agent_file("1.1.0", engine=engine, tool_env={"KEY": "{{search_key}}"}),
    )

    said = upgrade(alice, agent)
    assert {line["pointer"] for line in said["plan"]} == {"/engine", "/tool_env"}
    assert "s3cr3t" not in str(said)
    done = upgrade(alice, agent, dry_run=False)

    assert "s3cr3t" not in str(done)
    document = alice.letta("GET", f"/agents/{agent['id']}").json()
    assert document["model_settings"]["temperature"] == 0.3
    assert document["llm_config"]["context_window"] == 9000
    sent = letta.requests(f"^/v1/agents/{agent['id']}$")
    assert any("s3cr3t" in one["body"] for one in sent if one["method"] == "PATCH")


@BOTH_DRIVERS
def test_goes_to_higher_versions_only_unless_forced(
    alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    upgrade(alice, published, dry_run=False)
    path = f"/agents/{published['id']}/upgrade"
    for version in ("1.0.0", "1.1.0"):
        answer = alice("POST", path, json={"target_version": version})
        assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")
    assert alice("POST", path, json={"target_version": "9.9.9"}).status_code == 404

    upgrade(alice, published, target_version="1.0.0", force=True, dry_run=False)

    assert memory.document()["system"] == "You help Ann."
    assert memory.blocks() == {"human": "Name: Ann", "rules": "Be kind."}


def test_warns_of_a_deprecated_version(alice: Caller, published: dict[str, Any]) -> None:
    template = published["template"]["id"]
    alice.post("/templates/publish", json=next_file("1.2.0"))
    alice.post(f"/templates/{template}/versions/1.1.0/deprecate")

    said = upgrade(alice, published, target_version="1.1.0")
    assert said["warnings"] == ["Version 1.1.0 is deprecated."]


@BOTH_DRIVERS
def test_leaves_agents_of_no_template_alone(alice: Caller) -> None:
    made = alice.letta("POST", "/agents/", json={"name": "Bare", "model": MODEL}).json()
    answer = alice("POST", f"/agents/{made['id']}/upgrade", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")


@BOTH_DRIVERS
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"strategy": "other"}, "/strategy"),
        ({"strategies": {"x": "other"}}, "/strategies/x"),
        ({"target_version": "1.1.0", "use_latest": True}, "/use_latest"),
        ({"dry_run": "maybe"}, "/dry_run"),
        ({"engine": {}}, "/engine"),
    ],
)
def test_refuses_what_it_would_not_heed(
    alice: Caller, published: dict[str, Any], body: dict[str, Any], pointer: str
) -> None:
    answer = alice("POST", f"/agents/{published['id']}/upgrade", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, pointer)


def test_leaves_the_agent_as_it_was_when_letta_fails_in_the_midst(
    alice: Caller, published: dict[str, Any], memory: Memory, letta: Running
) -> None:
    alice.post(f"/agents/{published['id']}/suspend")
    memory.learn("human", "Name: Ann. Likes tea.")
    before = memory.document()
    letta.fault(f"^/v1/agents/{published['id']}$", method="PATCH", status=500, times=1)

    answer = alice("POST", f"/agents/{published['id']}/upgrade", json={"dry_run": False})

    assert answer.status_code == 502
    assert memory.blocks() == {"human": "Name: Ann. Likes tea.", "rules": "Be kind."}
    after = memory.document()
    assert after["system"] == before["system"]
    assert {t["name"] for t in after["tools"]} == {t["name"] for t in before["tools"]}
    agent = alice.get(f"/agents/{published['id']}")
    assert (agent["status"], agent["suspended_by"]) == ("suspended", "owner")
    assert agent["template"]["version"] == "1.0.0"
    assert Migration.objects.get().state == MigrationState.FAILED
    letta.mend()
    upgrade(alice, published, dry_run=False)
    assert alice.get(f"/agents/{published['id']}")["status"] == "suspended"


@BOTH_DRIVERS
def test_keeps_everything_else_from_an_agent_meanwhile(
    alice: Caller, published: dict[str, Any]
) -> None:
    Agent.objects.update(status=Status.UPGRADING)
    answer = alice("POST", f"/agents/{published['id']}/upgrade", json={"dry_run": False})
    assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")


@BOTH_DRIVERS
def test_needs_letta(alice: Caller, published: dict[str, Any], letta: Running) -> None:
    letta.fault("^/v1/", status=500)
    for dry_run in (True, False):
        answer = alice("POST", f"/agents/{published['id']}/upgrade", json={"dry_run": dry_run})
        assert answer.status_code == 502
    letta.mend()
    assert alice.get(f"/agents/{published['id']}")["status"] == "active"


@BOTH_DRIVERS
def test_needs_a_token(alice: Caller, gateway: str) -> None:
    del alice
    for path in ("upgrade", "migrations"):
        method = "POST" if path == "upgrade" else "GET"
        assert httpx.request(method, f"{gateway}/api/v1/agents/a/{path}").status_code == 401


@BOTH_DRIVERS
def test_others_agents_do_not_exist(
    bob: Caller, alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    done = upgrade(alice, published, dry_run=False)
    own = f"/agents/{published['id']}"
    migration = f"{own}/migrations/{done['migration']['id']}"
    for method, path in (
        ("POST", f"{own}/upgrade"),
        ("GET", f"{own}/migrations"),
        ("GET", migration),
        ("POST", f"{migration}/rollback"),
    ):
        answer = bob(method, path, json={"dry_run": False})
        assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")
    assert memory.document()["system"] == "You serve Ann."
