"""What callers get, and what is left, when Letta fails while an agent is made."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agents.models import Agent, Status
from agents.reconcile import Repair, reconcile
from gateway_core.rest import RestClient
from letta_proxy import client
from letta_proxy.models import Kind, OwnedResource
from tests.agents.conftest import MODEL, Caller, InLetta, agent_file, rows
from tests.conftest import Running


def create(caller: Caller, template: str, **headers: str) -> httpx.Response:
    body = {"template_id": template, "variables": {"user_name": "Ann"}}
    return caller("POST", "/agents", json=body, headers=headers)


def test_says_that_it_can_be_repeated_while_letta_is_away(
    alice: Caller, template: str, settings: Any
) -> None:
    settings.LETTA_BASE_URL = "http://127.0.0.1:1"

    answer = create(alice, template)

    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unreachable")
    assert answer.json()["retryable"]
    assert rows() == []


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"garbage": True}])
def test_nothing_is_left_when_letta_fails(
    alice: Caller, template: str, letta: Running, in_letta: InLetta, fault: dict[str, Any]
) -> None:
    alice.letta("GET", "/agents/").raise_for_status()
    letta.fault("^/v1/agents/$", method="POST", **fault)

    assert create(alice, template).status_code == 502
    assert rows() == []
    assert in_letta.ids() == []
    letta.mend()
    assert create(alice, template).status_code == 201


KEY = {"idempotency-key": "one agent"}


def test_a_creation_that_was_taken_back_frees_its_key(
    alice: Caller, template: str, letta: Running, in_letta: InLetta
) -> None:
    alice.letta("GET", "/agents/").raise_for_status()
    letta.fault("^/v1/agents/$", method="POST", status=500)
    assert create(alice, template, **KEY).status_code == 502
    letta.mend()

    made = create(alice, template, **KEY)

    assert made.status_code == 201
    assert in_letta.ids() == [made.json()["agent"]["id"]]
    assert create(alice, template, **KEY).headers["idempotent-replayed"] == "true"


def test_a_clone_that_was_taken_back_frees_its_key(
    alice: Caller, agent: dict[str, Any], letta: Running, in_letta: InLetta
) -> None:
    """The agent was made, and deleted again when its passages could not be."""
    path = f"/agents/{agent['id']}"
    alice.letta("POST", f"{path}/archival-memory", json={"text": "sky"}).raise_for_status()
    letta.fault("/archival-memory$", method="POST", status=500)
    assert alice("POST", f"{path}/clone", json={}, headers=KEY).status_code == 502
    assert in_letta.ids() == [agent["id"]]
    letta.mend()

    assert alice("POST", f"{path}/clone", json={}, headers=KEY).status_code == 201


def test_an_upgrade_that_was_taken_back_frees_its_key(
    alice: Caller, agent: dict[str, Any], letta: Running
) -> None:
    persona = {**agent_file()["persona"], "system_prompt": "Serve."}
    alice.post("/templates/publish", json=agent_file("1.1.0", persona=persona, tools=[]))
    path = f"/agents/{agent['id']}"
    letta.fault(f"^/v1{path}$", method="PATCH", status=500, times=1)
    wish = {"json": {"dry_run": False}, "headers": KEY}
    assert alice("POST", f"{path}/upgrade", **wish).status_code == 502
    letta.mend()

    assert alice("POST", f"{path}/upgrade", **wish).json()["applied"] is True


def test_a_creation_of_which_nobody_knows_keeps_its_key(
    alice: Caller, template: str, letta: Running
) -> None:
    alice.letta("GET", "/agents/").raise_for_status()
    letta.fault("^/v1/agents/$", method="POST", cut_after=0)
    letta.fault("^/v1/agents/$", method="GET", status=500)
    assert create(alice, template, **KEY).status_code == 502
    letta.mend()

    answer = create(alice, template, **KEY)

    assert answer.json()["code"] == "caller_idempotency_outcome_unknown"
    assert len(rows()) == 1


def test_takes_the_agent_whose_answer_got_lost(
    alice: Caller, template: str, letta: Running, in_letta: InLetta
) -> None:
    letta.fault("^/v1/agents/$", method="POST", cut_after=0)

    answer = create(alice, template)

    assert answer.status_code == 201
    (row,) = rows()
    assert [row.agent_id] == in_letta.ids() == [answer.json()["agent"]["id"]]
    assert row.status == Status.ACTIVE
    assert OwnedResource.objects.filter(kind=Kind.BLOCK, agent_id=row.agent_id).count() == 2


def test_an_agent_that_came_too_late_is_cleared_away(
    alice: Caller, template: str, letta: Running, in_letta: InLetta
) -> None:
    """Nobody knows what became of it, and Letta can't be asked."""
    letta.fault("^/v1/agents/$", method="POST", cut_after=0)
    letta.fault("^/v1/agents/$", method="GET", status=500)

    answer = create(alice, template)

    assert answer.status_code == 502
    (row,) = rows()
    assert (row.status, bool(row.last_error)) == (Status.CREATING, True)
    assert alice.get("/agents")["data"][0]["id"] is None
    letta.mend()
    assert reconcile(grace_seconds=0).counts == {Repair.COMPLETED: 1}
    assert [rows()[0].agent_id] == in_letta.ids()
    assert rows()[0].status == Status.ACTIVE


def test_a_time_out_leaves_the_row_to_the_reconciler(
    alice: Caller, template: str, letta: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.letta("GET", "/agents/").raise_for_status()
    original = RestClient._opened

    def impatient(client: RestClient) -> Any:
        monkeypatch.setattr(client, "read_timeout", 0.05)  # which other tests use, too
        return original(client)

    monkeypatch.setattr(RestClient, "_opened", impatient)
    letta.fault("^/v1/agents/$", method="POST", delay=0.3, status=500)

    answer = create(alice, template)

    assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")
    assert [row.status for row in rows()] == [Status.CREATING]
    letta.mend()
    assert reconcile(grace_seconds=0).counts == {Repair.UNDONE: 1}
    assert rows() == []


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_on_lettas_own_api_leaves_no_row(
    alice: Caller, letta: Running, status: int
) -> None:
    letta.fault("^/v1/agents/$", method="POST", status=status, body={"detail": "no"})

    answer = alice.letta("POST", "/agents/", json={"name": "Bare", "model": MODEL})

    assert answer.status_code == status
    assert rows() == []


def test_lettas_absence_on_its_own_api_leaves_no_row(
    alice: Caller,
) -> None:
    alice.letta("GET", "/agents/").raise_for_status()
    upstream = client.connections()
    address, upstream.base_url = upstream.base_url, "http://127.0.0.1:1"
    try:
        answer = alice.letta("POST", "/agents/", json={"name": "Bare", "model": MODEL})
    finally:
        upstream.base_url = address

    assert answer.status_code == 503
    assert not Agent.objects.exists()
