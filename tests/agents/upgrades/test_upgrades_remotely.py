"""A remote AMS plans and upgrades; the gateway keeps the record."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.core.management import call_command

from agents.upgrades.models import Migration, MigrationState
from gateway_core import cache
from tests.agents.conftest import Caller
from tests.agents.upgrades.conftest import Memory, next_file
from tests.conftest import Running

pytestmark = pytest.mark.parametrize("driver", ["remote"], indirect=True)


@pytest.fixture
def published(alice: Caller, agent: dict[str, Any]) -> dict[str, Any]:
    alice.post("/ams/templates/publish", json=next_file())
    return agent


def wishes(ams: Running) -> list[Any]:
    return [orjson.loads(one["body"]) for one in ams.requests("/upgrade$")]


@pytest.mark.parametrize("is_old", [False, True])
def test_passes_upgrades_on_and_always_says_whether_it_is_a_dry_run(
    alice: Caller, published: dict[str, Any], memory: Memory, ams: Running, *, is_old: bool
) -> None:
    if is_old:
        ams.client.put("/_sandbox/old").raise_for_status()
    path = f"/agents/{published['id']}/upgrade"

    said = alice.post(path, json={})
    assert (said["dry_run"], len(said["plan"])) == (True, 5)
    assert {"op": "change", "pointer": "/persona/system_prompt"} in said["plan"]
    assert wishes(ams) == [{"use_latest": True, "dry_run": True}]
    assert memory.document()["system"] == "You help Ann."

    done = alice.post(path, json={"target_version": "1.1.0", "dry_run": False})
    assert (done["applied"], done["new_version"]) == (True, "1.1.0")
    assert wishes(ams)[-1] == {"target_version": "1.1.0", "dry_run": False}
    assert done["plan"] == said["plan"]
    assert memory.document()["system"] == "You serve Ann."
    agent = alice.get(f"/agents/{published['id']}")
    assert (agent["status"], agent["template"]["version"]) == ("active", "1.1.0")
    (told,) = alice.get(f"/agents/{published['id']}/migrations")["data"]
    assert (told["state"], told["to_version"]) == ("applied", "1.1.0")


def test_tells_the_ams_of_a_rollback_and_ends_it_by_the_same_key(
    alice: Caller, published: dict[str, Any], memory: Memory, ams: Running, letta: Running
) -> None:
    path = f"/agents/{published['id']}"
    memory.learn("rules", "Be bold.")
    body = {"dry_run": False, "strategy": "take_template"}
    made = alice.post(f"{path}/upgrade", json=body)["migration"]
    assert {one["pointer"] for one in alice.get(f"{path}/migrations/{made['id']}")["diff"]} >= {
        "/memory_layout/blocks/rules/value",
        "/persona/system_prompt",
    }
    # The AMS brings back what the template said; what was learned only the gateway knows, and
    # Letta fails it then.
    letta.fault("/core-memory/blocks/rules$", method="PATCH", status=500)

    answer = alice("POST", f"{path}/migrations/{made['id']}/rollback", json={})

    assert answer.status_code == 502
    assert alice.get(path)["status"] == "upgrading"
    letta.mend()
    call_command("reconcile_agents", grace=0.0, verbosity=0)
    assert memory.blocks() == {"human": "Name: Ann", "rules": "Be bold."}
    assert memory.document()["system"] == "You help Ann."
    agent = alice.get(path)
    assert (agent["status"], agent["template"]) == ("active", published["template"])
    asked = ams.requests("/upgrade$")
    assert [orjson.loads(one["body"]) for one in asked][-1] == {
        "target_version": "1.0.0",
        "variables": {"user_name": "Ann", "tone": "kind"},
        "strategy": "take_template",
        "force": True,
        "dry_run": False,
    }
    keys = [one["headers"]["idempotency-key"] for one in asked]
    assert (len(keys), len(set(keys))) == (3, 2)
    # The AMS knows which version the agent has: it can be upgraded again as before.
    assert alice.post(f"{path}/upgrade", json={"strategy": "keep_agent"})["plan"]


def test_leaves_the_agent_upgraded_when_the_ams_does_not_go_back(
    alice: Caller, published: dict[str, Any], memory: Memory, ams: Running
) -> None:
    path = f"/agents/{published['id']}"
    made = alice.post(f"{path}/upgrade", json={"dry_run": False})["migration"]
    ams.fault("/upgrade$", status=409, body={"detail": "only upwards"})

    answer = alice("POST", f"{path}/migrations/{made['id']}/rollback", json={})

    assert (answer.status_code, answer.json()["detail"]) == (409, "only upwards")
    assert memory.document()["system"] == "You serve Ann."
    agent = alice.get(path)
    assert (agent["status"], agent["template"]["version"]) == ("active", "1.1.0")


def test_tells_what_was_chosen_and_passes_on_what_is_in_the_way(
    alice: Caller, published: dict[str, Any], memory: Memory, ams: Running
) -> None:
    path = f"/agents/{published['id']}/upgrade"
    alice.letta("PATCH", f"/agents/{published['id']}", json={"system": "Mine."}).raise_for_status()

    said = alice.post(path, json={})
    assert [one["pointer"] for one in said["conflicts"]] == ["/persona/system_prompt"]
    assert (said["target_version"], len(said["plan_hash"])) == ("1.1.0", 64)
    refused = alice("POST", path, json={"dry_run": False})
    assert (refused.status_code, refused.json()["error"]["param"]) == (
        409,
        "/persona/system_prompt",
    )
    assert alice.get(f"/agents/{published['id']}")["status"] == "active"

    stale = {"dry_run": False, "strategy": "take_template", "plan_hash": said["plan_hash"]}
    refused = alice("POST", path, json=stale)
    assert (refused.status_code, refused.json()["error"]["param"]) == (409, "/plan_hash")
    assert memory.document()["system"] == "Mine."

    choice = {"strategies": {"/persona/system_prompt": "take_template"}}
    agreed = alice.post(path, json=choice)["plan_hash"]
    alice.post(path, json={**choice, "dry_run": False, "plan_hash": agreed})
    assert wishes(ams)[-1] == {
        "use_latest": True,
        **choice,
        "plan_hash": agreed,
        "dry_run": False,
    }
    assert memory.document()["system"] == "You serve Ann."

    assert alice("POST", path, json={}).status_code == 409
    assert alice.post(path, json={"target_version": "1.0.0", "force": True})["plan"] != []
    assert wishes(ams)[-1] == {"target_version": "1.0.0", "force": True, "dry_run": True}


@pytest.mark.parametrize(
    ("choice", "pointer"),
    [
        ({"strategy": "keep_agent"}, "/strategy"),
        ({"strategies": {"/persona/system_prompt": "keep_agent"}}, "/strategies"),
        ({"force": True}, "/force"),
        ({"plan_hash": "0" * 64}, "/plan_hash"),
    ],
)
def test_does_not_pretend_that_the_first_ams_heeds_choices(
    alice: Caller,
    published: dict[str, Any],
    ams: Running,
    choice: dict[str, Any],
    pointer: str,
) -> None:
    ams.client.put("/_sandbox/old").raise_for_status()
    cache.clear_all()
    path = f"/agents/{published['id']}/upgrade"

    for dry_run in (True, False):
        answer = alice("POST", path, json={**choice, "dry_run": dry_run})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, pointer)

    assert wishes(ams) == []
    assert alice.get(f"/agents/{published['id']}")["status"] == "active"
    assert not Migration.objects.exists()
    (warning,) = alice.post(path, json={})["warnings"]
    assert "decides by itself" in warning


def test_asks_again_by_the_same_key_when_nobody_knows_what_came_of_it(
    alice: Caller, published: dict[str, Any], memory: Memory, ams: Running
) -> None:
    ams.fault("/upgrade$", cut_after=0)
    body = {"dry_run": False}
    answer = alice("POST", f"/agents/{published['id']}/upgrade", json=body)
    assert answer.status_code in {502, 504}
    assert memory.document()["system"] == "You serve Ann."
    assert alice.get(f"/agents/{published['id']}")["status"] == "upgrading"
    ams.mend()

    call_command("reconcile_agents", grace=0.0, verbosity=0)

    assert Migration.objects.get().state == MigrationState.APPLIED
    agent = alice.get(f"/agents/{published['id']}")
    assert (agent["status"], agent["template"]["version"]) == ("active", "1.1.0")
    keys = {one["headers"]["idempotency-key"] for one in ams.requests("/upgrade$")}
    assert keys == {f"migration:{Migration.objects.get().pk}"}


def test_leaves_the_agent_alone_when_the_ams_refuses(
    alice: Caller, published: dict[str, Any], ams: Running
) -> None:
    path = f"/agents/{published['id']}/upgrade"
    answer = alice("POST", path, json={"target_version": "9.0.0", "dry_run": False})
    assert answer.status_code == 404
    assert alice.get(f"/agents/{published['id']}")["status"] == "active"
    assert Migration.objects.get().state == MigrationState.FAILED
    del ams
