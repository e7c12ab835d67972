"""The first AMS makes agents and knows of nothing else: the rest is done in Letta."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.drivers import manager
from agents.drivers.ams import AmsClient
from gateway_core import cache
from gateway_core.errors import UpstreamCredentialRejected
from tests.agents.conftest import Caller, InLetta, rows
from tests.conftest import Running

pytestmark = pytest.mark.parametrize("driver", ["remote"], indirect=True)


@pytest.fixture
def old(ams: Running) -> Running:
    ams.client.put("/_sandbox/old").raise_for_status()
    cache.clear_all()
    return ams


def test_tells_the_dialects_apart(alice: Caller, ams: Running) -> None:
    del alice
    assert not AmsClient(ams.url).dialect().is_old
    ams.client.put("/_sandbox/old").raise_for_status()
    assert not AmsClient(ams.url).dialect().is_old
    cache.clear_all()
    assert AmsClient(ams.url).dialect().is_old


def test_asks_for_the_dialect_once_in_a_while(alice: Caller, ams: Running, template: str) -> None:
    for _ in range(3):
        alice.create(template)

    assert len(ams.requests("^/version$")) == 1


def test_an_agents_whole_life(
    alice: Caller, old: Running, template: str, in_letta: InLetta
) -> None:
    agent = alice.create(template, agent_name="Ada", tags=["vip"], description="Helps.")

    (row,) = rows()
    assert agent["variables"] == {"user_name": "********"}
    assert (agent["name"], agent["tags"], agent["description"]) == ("Ada", ["vip"], "Helps.")
    made = in_letta("GET", f"/agents/{agent['id']}")
    assert made["tags"] == [row.tag, "vip"]
    assert made["system"] == "You help Ann."

    path = f"/agents/{agent['id']}"
    assert alice("PATCH", path, json={"name": "Eve"}).json()["name"] == "Eve"
    clone = alice.post(f"{path}/clone", json={})["agent"]
    assert in_letta("GET", f"/agents/{clone['id']}")["system"] == "You help Ann."
    assert alice.post(f"{path}/suspend")["status"] == "suspended"
    assert alice.letta("GET", path).status_code == 423
    for agent_id in (agent["id"], clone["id"]):
        assert alice("DELETE", f"/agents/{agent_id}").status_code == 204
    assert in_letta.ids() == in_letta.ids("blocks") == []
    asked = {(one["method"], one["path"]) for one in old.requests("^/agents")}
    assert asked == {("POST", "/agents/create")}


def test_sends_what_the_first_ams_takes(alice: Caller, old: Running, template: str) -> None:
    alice.create(template)

    (sent,) = old.requests("^/agents/create$")
    headers = sent["headers"]
    (row,) = rows()
    assert headers["authorization"] == "Bearer ams-key"
    assert headers["x-user-id"] == str(row.user_id)
    assert headers["idempotency-key"] == row.tag
    assert headers["traceparent"].startswith("00-")
    assert headers["x-request-id"]
    body: dict[str, Any] = {
        "template_id": template,
        "variables": {"user_name": "Ann"},
        "agent_name": "agent",
        "use_latest": True,
    }
    assert json.loads(sent["body"]) == body


def test_only_the_making_tells_that_variables_do_not_fit(
    alice: Caller, old: Running, template: str
) -> None:
    answer = alice("POST", "/agents", json={"template_id": template, "variables": {}})

    assert answer.status_code == 400
    assert rows() == []
    del old


def test_a_wrong_key_is_not_the_callers_fault(alice: Caller, template: str, settings: Any) -> None:
    settings.AMS_API_KEY = "wrong"
    body = {"template_id": template, "variables": {"user_name": "Ann"}}

    answer = alice("POST", "/agents", json=body)

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_credential_rejected")
    cache.clear_all()
    with pytest.raises(UpstreamCredentialRejected):
        manager().set_suspended(
            user_id=alice.get("/me")["id"], agent_id="agent-1", is_suspended=True
        )


def test_nothing_is_left_while_the_ams_is_away(alice: Caller, template: str, settings: Any) -> None:
    settings.AMS_BASE_URL = "http://127.0.0.1:1"
    body = {"template_id": template, "variables": {"user_name": "Ann"}}

    answer = alice("POST", "/agents", json=body)

    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unreachable")
    assert rows() == []


def test_keeps_what_an_ams_has_only_promised(alice: Caller, ams: Running, template: str) -> None:
    ams.fault("^/agents/create$", status=202, body={"operation": {"id": "op-1"}})
    body = {"template_id": template, "variables": {"user_name": "Ann"}}

    answer = alice("POST", "/agents", json=body)

    assert answer.status_code == 502
    (row,) = rows()
    assert (row.status, row.agent_id) == ("creating", "")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 409, "body": {"error": "busy"}}, (409, "caller_conflict")),
        ({"status": 403, "body": {"detail": "no"}}, (403, "policy_forbidden")),
        ({"status": 429, "body": {"code": "quota_exceeded"}}, (429, "quota_count_exhausted")),
        ({"status": 429}, (503, "upstream_overloaded")),
        ({"status": 500, "body": {"error": "at http://inside:5432"}}, (502, "upstream_failed")),
        (
            {"status": 400, "body": {"error": "see http://inside"}},
            (400, "caller_request_malformed"),
        ),
        ({"garbage": True}, (502, "upstream_answer_invalid")),
    ],
)
def test_understands_its_errors(
    alice: Caller, ams: Running, template: str, fault: dict[str, Any], expected: tuple[int, str]
) -> None:
    ams.fault("^/agents/create$", **fault)
    body = {"template_id": template, "variables": {"user_name": "Ann"}}

    answer = alice("POST", "/agents", json=body)

    assert (answer.status_code, answer.json()["code"]) == expected
    assert "inside" not in answer.text
    assert rows() == []
