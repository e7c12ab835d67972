from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F
from rest_framework.request import Request

from agents.models import Agent, Status
from agents.requests import revision_wanted
from gateway_core.audit.models import AuditEvent
from tests.agents.conftest import BOTH_DRIVERS, Caller, InLetta, rows
from tests.conftest import Running


def test_shows_an_agent_with_its_etag(alice: Caller, agent: dict[str, Any]) -> None:
    answer = alice("GET", f"/agents/{agent['id']}")

    assert answer.json() == agent
    assert answer.headers["etag"] == agent["etag"]
    unchanged = alice("GET", f"/agents/{agent['id']}", headers={"if-none-match": agent["etag"]})
    assert unchanged.status_code == 304


@BOTH_DRIVERS
def test_changes_an_agent_here_and_in_letta(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    changes = {
        "name": "Eve",
        "description": "Another.",
        "tags": ["b", "a"],
        "metadata": {"x": [1]},
    }
    answer = alice("PATCH", f"/agents/{agent['id']}", json=changes)

    assert answer.status_code == 200
    changed = answer.json()
    assert {name: changed[name] for name in changes} == changes
    assert answer.headers["etag"] == changed["etag"] != agent["etag"]
    made = in_letta("GET", f"/agents/{agent['id']}")
    (row,) = rows()
    assert made["tags"] == [row.tag, "b", "a"]
    assert (made["name"], made["description"]) == ("Eve", "Another.")
    assert made["metadata"] == {"x": [1]}
    assert AuditEvent.objects.filter(action="agent.change").count() == 1


def test_leaves_alone_what_is_not_named(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    alice("PATCH", f"/agents/{agent['id']}", json={"name": "Eve"}).raise_for_status()

    changed = alice.get(f"/agents/{agent['id']}")
    assert changed["tags"] == ["vip"]
    made = in_letta("GET", f"/agents/{agent['id']}")
    assert made["system"] == "You help Ann."
    assert made["tags"] == [rows()[0].tag, "vip"]


def test_changes_nothing_when_nothing_is_named(alice: Caller, agent: dict[str, Any]) -> None:
    answer = alice("PATCH", f"/agents/{agent['id']}", json={})
    assert (answer.status_code, answer.json()["etag"]) == (200, agent["etag"])


def test_takes_a_change_for_the_state_that_its_caller_knows(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    path = f"/agents/{agent['id']}"
    first = alice("PATCH", path, json={"name": "Eve"}, headers={"if-match": agent["etag"]})
    second = alice("PATCH", path, json={"name": "Ivy"}, headers={"if-match": agent["etag"]})

    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (412, "caller_etag_mismatch")
    assert alice.get(path)["name"] == in_letta("GET", path)["name"] == "Eve"
    for known in ("*", '"other", {}'):
        header = known.format(alice.get(path)["etag"])
        answer = alice("PATCH", path, json={"description": header}, headers={"if-match": header})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "below"),
    [("PATCH", ""), ("DELETE", ""), ("POST", "/suspend"), ("POST", "/resume"), ("POST", "/clone")],
)
def test_does_nothing_to_an_agent_that_is_not_as_its_caller_knows_it(
    alice: Caller, agent: dict[str, Any], method: str, below: str
) -> None:
    path = f"/agents/{agent['id']}"
    alice("PATCH", path, json={"name": "Eve"}).raise_for_status()
    before = alice.get(path)

    body = {} if method == "POST" else {"name": "Ivy"}
    answer = alice(method, path + below, json=body, headers={"if-match": agent["etag"]})

    assert (answer.status_code, answer.json()["code"]) == (412, "caller_etag_mismatch")
    assert alice.get(path) == before
    assert len(rows()) == 1


@pytest.mark.parametrize(
    ("method", "below"), [("PATCH", ""), ("DELETE", ""), ("POST", "/suspend"), ("POST", "/resume")]
)
def test_one_etag_is_good_for_one_of_two_at_once(
    alice: Caller,
    agent: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    below: str,
) -> None:
    def overtaken(request: Request, row: Agent) -> int | None:
        revision = revision_wanted(request, row)
        Agent.objects.filter(pk=row.pk).update(revision=F("revision") + 1)
        return revision

    monkeypatch.setattr("agents.views.revision_wanted", overtaken)
    body = {} if method == "POST" else {"name": "Ivy"}
    answer = alice(
        method, f"/agents/{agent['id']}{below}", json=body, headers={"if-match": agent["etag"]}
    )

    assert answer.status_code == 412
    (row,) = rows()
    assert (row.name, row.status) == ("Ada", Status.ACTIVE)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": "a/b"}, "/name"),
        ({"name": ""}, "/name"),
        ({"tags": ["gw:x"]}, "/tags/0"),
        ({"status": "active"}, "/status"),
        ({"model": "other"}, "/model"),
    ],
)
def test_refuses_other_changes(
    alice: Caller, agent: dict[str, Any], changes: dict[str, Any], pointer: str
) -> None:
    answer = alice("PATCH", f"/agents/{agent['id']}", json=changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, pointer)


@BOTH_DRIVERS
def test_says_what_it_said_before_when_letta_fails(
    alice: Caller, agent: dict[str, Any], letta: Running
) -> None:
    path = f"/agents/{agent['id']}"
    letta.fault(f"^/v1{path}$", method="PATCH", status=500)

    assert alice("PATCH", path, json={"name": "Eve"}).status_code == 502
    assert alice.get(path)["name"] == "Ada"


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/suspend"),
        ("POST", "/resume"),
        ("POST", "/clone"),
        ("GET", "/export"),
    ],
)
def test_others_agents_do_not_exist(
    bob: Caller, alice: Caller, agent: dict[str, Any], method: str, action: str
) -> None:
    for agent_id in (agent["id"], "agent-nobodys", "%20"):
        answer = bob(method, f"/agents/{agent_id}{action}", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")
    assert alice.get(f"/agents/{agent['id']}") == agent
