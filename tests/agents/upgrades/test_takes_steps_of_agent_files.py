"""``migrations`` of an Agent File: what a version says is to be done to agents of earlier ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.conftest import BOTH_DRIVERS, Caller, agent_file
from tests.agents.upgrades.conftest import HUMAN, RULES, Memory

BLOCKS = "/memory_layout/blocks"


def way(*patch: dict[str, Any], since: str = "1.0.0", to: str = "1.1.0") -> dict[str, Any]:
    return {"from": since, "to": to, "steps": [{"type": "json_patch", "patch": list(patch)}]}


def publish(caller: Caller, *ways: dict[str, Any], version: str = "1.1.0", **members: Any) -> None:
    file = agent_file(version, migrations=list(ways), **members)
    caller.post("/templates/publish", json=file)


def upgrade(caller: Caller, agent: dict[str, Any], **body: Any) -> dict[str, Any]:
    return dict(caller.post(f"/agents/{agent['id']}/upgrade", json=body))


def renamed(**members: Any) -> dict[str, Any]:
    person = {**HUMAN, "label": "person", "value": "Called {{user_name}}", **members}
    return {"memory_layout": {"blocks": [person, RULES]}}


MOVE = {"op": "move", "from": f"{BLOCKS}/human", "path": f"{BLOCKS}/person"}


def test_carries_what_an_agent_has_learned_over_to_a_block_of_another_name(
    alice: Caller, agent: dict[str, Any], memory: Memory
) -> None:
    publish(alice, way(MOVE), **renamed(limit=3000))
    memory.learn("human", "Name: Ann. Likes tea.")

    said = upgrade(alice, agent)
    assert said["migrations"] == [{"from": "1.0.0", "to": "1.1.0"}]
    assert [(line["op"], line["pointer"]) for line in said["plan"]] == [
        ("remove", f"{BLOCKS}/human"),
        ("add", f"{BLOCKS}/person"),
    ]
    assert (said["conflicts"], said["warnings"]) == ([], [])
    learned = {
        "pointer": f"{BLOCKS}/person/value",
        "before": None,
        "after": "Name: Ann. Likes tea.",
    }
    assert learned in said["diff"]
    assert memory.blocks() == {"human": "Name: Ann. Likes tea.", "rules": "Be kind."}

    done = upgrade(alice, agent, dry_run=False, plan_hash=said["plan_hash"])

    assert memory.blocks() == {"person": "Name: Ann. Likes tea.", "rules": "Be kind."}
    person = next(one for one in memory.document()["blocks"] if one["label"] == "person")
    assert person["limit"] == 3000

    alice.post(f"/agents/{agent['id']}/migrations/{done['migration']['id']}/rollback", json={})
    assert memory.blocks() == {"human": "Name: Ann. Likes tea.", "rules": "Be kind."}


@BOTH_DRIVERS
def test_says_what_becomes_of_agents_that_are_there(
    alice: Caller, agent: dict[str, Any], memory: Memory
) -> None:
    """What the steps say holds for them, whatever the version says of new ones."""
    patch = (
        {"op": "test", "path": "/persona/system_prompt", "value": "You help {{user_name}}."},
        {"op": "replace", "path": "/persona/system_prompt", "value": "Know {{user_name}} well."},
        {"op": "add", "path": "/engine/hyperparams/temperature", "value": 0.3},
        {"op": "add", "path": f"{BLOCKS}/goals", "value": {"value": "Stay.", "limit": 50}},
        {"op": "copy", "from": f"{BLOCKS}/human", "path": f"{BLOCKS}/copy"},
        {"op": "remove", "path": f"{BLOCKS}/rules"},
    )
    layout = {"blocks": [HUMAN, {**HUMAN, "label": "copy"}]}
    publish(alice, way(*patch), memory_layout=layout)

    upgrade(alice, agent, dry_run=False)

    document = memory.document()
    assert document["system"] == "Know Ann well."
    assert document["model_settings"]["temperature"] == 0.3
    assert memory.blocks() == {"human": "Name: Ann", "goals": "Stay.", "copy": "Name: Ann"}
    assert upgrade(alice, agent, force=True)["plan"] != []  # as the version has it for new ones
    fresh = alice.create(agent["template"]["id"])
    assert alice.letta("GET", f"/agents/{fresh['id']}").json()["system"] == "You help Ann."


@BOTH_DRIVERS
@pytest.mark.parametrize(
    "case",
    [
        (
            {"op": "replace", "path": f"{BLOCKS}/human/value", "value": "Unknown."},
            f"{BLOCKS}/human/value",
            {"human": "Unknown.", "rules": "Be kind."},
        ),
        (
            {"op": "add", "path": f"{BLOCKS}/human", "value": {"value": "Unknown."}},
            f"{BLOCKS}/human/value",
            {"human": "Unknown.", "rules": "Be kind."},
        ),
        (
            {"op": "remove", "path": f"{BLOCKS}/human"},
            f"{BLOCKS}/human",
            {"rules": "Be kind."},
        ),
    ],
)
def test_leaves_it_to_the_caller_where_the_agent_has_learned_too(
    alice: Caller,
    agent: dict[str, Any],
    memory: Memory,
    case: tuple[dict[str, Any], str, dict[str, str]],
) -> None:
    operation, pointer, taken = case
    kept = {"human": "Learned.", "rules": "Be kind."}
    publish(alice, way(operation))
    memory.learn("human", "Learned.")
    path = f"/agents/{agent['id']}/upgrade"
    assert [one["pointer"] for one in upgrade(alice, agent)["conflicts"]] == [pointer]

    refused = alice("POST", path, json={"dry_run": False})
    assert refused.status_code == 409
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    assert memory.blocks() == kept

    done = upgrade(alice, agent, dry_run=False, strategies={pointer: "keep_agent"})
    assert memory.blocks() == kept
    alice.post(f"/agents/{agent['id']}/migrations/{done['migration']['id']}/rollback", json={})
    upgrade(alice, agent, dry_run=False, strategy="take_template")
    assert memory.blocks() == taken


@BOTH_DRIVERS
@pytest.mark.parametrize(
    ("choice", "value"), [("keep_agent", "Learned."), ("take_template", "Learned elsewhere.")]
)
def test_carries_a_block_over_another_when_that_is_chosen(
    alice: Caller, agent: dict[str, Any], memory: Memory, choice: str, value: str
) -> None:
    copy = {"op": "copy", "path": f"{BLOCKS}/human", "from": f"{BLOCKS}/rules"}
    publish(alice, way(copy))
    memory.learn("human", "Learned.")
    memory.learn("rules", "Learned elsewhere.")

    (conflict,) = upgrade(alice, agent)["conflicts"]
    assert conflict["pointer"] == f"{BLOCKS}/human"
    upgrade(alice, agent, dry_run=False, strategies={f"{BLOCKS}/human": choice})

    assert memory.blocks() == {"human": value, "rules": "Learned elsewhere."}


@BOTH_DRIVERS
def test_the_next_upgrade_tells_steps_from_what_the_agent_has_learned(
    alice: Caller, agent: dict[str, Any], memory: Memory
) -> None:
    publish(alice, way({"op": "replace", "path": "/persona/system_prompt", "value": "Know."}))
    upgrade(alice, agent, dry_run=False)
    persona = {**agent_file()["persona"], "system_prompt": "Serve {{user_name}}."}
    publish(alice, version="1.2.0", persona=persona)

    assert upgrade(alice, agent)["conflicts"] == []
    upgrade(alice, agent, dry_run=False)
    assert memory.document()["system"] == "Serve Ann."


@BOTH_DRIVERS
def test_leaves_settings_that_the_owner_has_changed_to_the_caller(
    alice: Caller, agent: dict[str, Any], memory: Memory
) -> None:
    publish(alice, way({"op": "replace", "path": "/persona/system_prompt", "value": "Know."}))
    path = f"/agents/{agent['id']}"
    alice.letta("PATCH", path, json={"system": "Mine."}).raise_for_status()

    (conflict,) = upgrade(alice, agent)["conflicts"]
    assert conflict["pointer"] == "/persona/system_prompt"
    upgrade(alice, agent, dry_run=False, strategy="take_template")
    assert memory.document()["system"] == "Know."


@BOTH_DRIVERS
def test_a_block_that_the_agent_has_lost_comes_back_when_that_is_chosen(
    alice: Caller, agent: dict[str, Any], memory: Memory
) -> None:
    publish(alice, way({"op": "replace", "path": f"{BLOCKS}/rules/value", "value": "Be bold."}))
    block = next(one for one in memory.document()["blocks"] if one["label"] == "rules")
    path = f"/agents/{agent['id']}/core-memory/blocks/detach/{block['id']}"
    alice.letta("PATCH", path).raise_for_status()

    (conflict,) = upgrade(alice, agent)["conflicts"]
    assert conflict["pointer"] == f"{BLOCKS}/rules"
    upgrade(alice, agent, dry_run=False, strategy="take_template")
    assert memory.blocks()["rules"] == "Be bold."


def test_goes_the_way_that_leads_furthest_and_compares_the_rest(
    alice: Caller, agent: dict[str, Any], memory: Memory
) -> None:
    first = way({"op": "replace", "path": f"{BLOCKS}/rules/value", "value": "One."})
    later = way(
        {"op": "replace", "path": f"{BLOCKS}/rules/value", "value": "Two."},
        since="1.1.0",
        to="1.2.0",
    )
    over = way({"op": "replace", "path": f"{BLOCKS}/human/limit", "value": 9}, to="1.0.1")
    publish(alice, later, over, first, version="1.3.0", engine={"model": agent["model"]})

    said = upgrade(alice, agent)

    assert said["migrations"] == [
        {"from": "1.0.0", "to": "1.1.0"},
        {"from": "1.1.0", "to": "1.2.0"},
    ]
    upgrade(alice, agent, dry_run=False)
    assert memory.blocks()["rules"] == "Two."
    human = next(one for one in memory.document()["blocks"] if one["label"] == "human")
    assert human["limit"] == 2000


def test_warns_of_steps_that_begin_elsewhere(alice: Caller, agent: dict[str, Any]) -> None:
    publish(alice, way(MOVE, since="0.9.0"))

    said = upgrade(alice, agent)

    assert (said["plan"], said["migrations"]) == ([], [])
    assert "lead on from 1.0.0" in said["warnings"][0]


@BOTH_DRIVERS
@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "test", "path": "/persona/system_prompt", "value": "x"}, "tests for"),
        ({"op": "replace", "path": f"{BLOCKS}/x", "value": {"value": ""}}, "there is no"),
        ({"op": "add", "path": f"{BLOCKS}/x/limit", "value": 5}, "there is no"),
        ({"op": "remove", "path": f"{BLOCKS}/x"}, "there is no"),
        ({"op": "move", "from": f"{BLOCKS}/x", "path": f"{BLOCKS}/y"}, "there is no"),
    ],
)
def test_says_which_step_does_not_fit_the_agent(
    alice: Caller, agent: dict[str, Any], memory: Memory, operation: dict[str, Any], why: str
) -> None:
    goes = {"op": "replace", "path": "/engine/hyperparams/temperature", "value": 0.1}
    publish(alice, way(goes, operation))
    before = memory.document()

    for dry_run in (True, False):
        answer = alice("POST", f"/agents/{agent['id']}/upgrade", json={"dry_run": dry_run})
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] == "/migrations/0/steps/0/patch/1"
        assert why in fault["message"]
    assert memory.document() == before
    assert alice.get(f"/agents/{agent['id']}")["status"] == "active"


@BOTH_DRIVERS
def test_makes_no_more_blocks_than_a_template_may_have(
    alice: Caller, agent: dict[str, Any]
) -> None:
    new = [{"op": "add", "path": f"{BLOCKS}/b{n}", "value": {"value": ""}} for n in range(99)]
    publish(alice, way(*new))

    answer = alice("POST", f"/agents/{agent['id']}/upgrade", json={})

    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "/migrations/0/steps/0/patch/98"
