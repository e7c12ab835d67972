from __future__ import annotations

from typing import Any

from agents.upgrades.models import Migration, MigrationState
from gateway_core.audit.models import AuditEvent
from tests.agents.conftest import BOTH_DRIVERS, Caller
from tests.agents.upgrades.conftest import Memory, next_file
from tests.conftest import Running


def upgrade(caller: Caller, agent: dict[str, Any], **body: Any) -> str:
    wish = {"dry_run": False, **body}
    done = caller.post(f"/agents/{agent['id']}/upgrade", json=wish)
    return f"/agents/{agent['id']}/migrations/{done['migration']['id']}"


@BOTH_DRIVERS
def test_brings_back_what_there_was_and_keeps_what_was_learned_elsewhere(
    alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    before = memory.document()
    made = upgrade(alice, published)
    memory.learn("human", "Name: Ann. Likes tea.")

    done = alice.post(f"{made}/rollback", json={})

    assert (done["applied"], done["new_version"]) == (True, "1.0.0")
    after = memory.document()
    assert after["system"] == before["system"]
    assert {t["name"] for t in after["tools"]} == {t["name"] for t in before["tools"]}
    assert memory.blocks() == {"human": "Name: Ann. Likes tea.", "rules": "Be kind."}
    human = next(block for block in after["blocks"] if block["label"] == "human")
    assert human["limit"] == 2000
    agent = alice.get(f"/agents/{published['id']}")
    assert agent["template"] == published["template"]
    assert (agent["status"], agent["variables"]) == ("active", published["variables"])
    told = alice.get(f"/agents/{published['id']}/migrations")["data"]
    assert [(one["direction"], one["state"]) for one in told] == [
        ("rollback", "applied"),
        ("upgrade", "rolled_back"),
    ]
    assert told[0]["reverts"] == told[1]["id"]
    assert AuditEvent.objects.filter(action="agent.roll_back").count() == 1


@BOTH_DRIVERS
def test_can_be_upgraded_again_and_rolled_back_step_by_step(
    alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    first = upgrade(alice, published)
    alice.post(f"{first}/rollback", json={})
    assert alice("POST", f"{first}/rollback", json={}).status_code == 409
    first = upgrade(alice, published)
    alice.post("/templates/publish", json=next_file("1.2.0", tools=["memory_insert"]))
    second = upgrade(alice, published)
    assert alice("POST", f"{first}/rollback", json={}).status_code == 409

    alice.post(f"{second}/rollback", json={})
    assert alice.get(f"/agents/{published['id']}")["template"]["version"] == "1.1.0"
    alice.post(f"{first}/rollback", json={})
    assert alice.get(f"/agents/{published['id']}")["template"]["version"] == "1.0.0"
    assert memory.document()["system"] == "You help Ann."


@BOTH_DRIVERS
def test_keeps_what_was_learned_in_changed_blocks_when_told_so(
    alice: Caller, published: dict[str, Any], memory: Memory
) -> None:
    made = upgrade(alice, published)
    memory.learn("goals", "Serve well.")

    alice.post(f"{made}/rollback", json={"strategy": "keep_agent"})

    assert memory.blocks()["goals"] == "Serve well."
    assert memory.document()["system"] == "You help Ann."


def test_stays_upgraded_when_letta_fails(
    alice: Caller, published: dict[str, Any], memory: Memory, letta: Running
) -> None:
    made = upgrade(alice, published)
    letta.fault(f"^/v1/agents/{published['id']}$", method="PATCH", status=500, times=1)

    assert alice("POST", f"{made}/rollback", json={}).status_code == 502

    assert memory.document()["system"] == "You serve Ann."
    assert set(memory.blocks()) == {"human", "goals"}
    assert Migration.objects.first().state == MigrationState.FAILED  # type: ignore[union-attr]
    alice.post(f"{made}/rollback", json={})
    assert memory.document()["system"] == "You help Ann."
