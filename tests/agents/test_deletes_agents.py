from __future__ import annotations

from typing import Any

import httpx
import pytest

from agents.models import Status
from gateway_core.audit.models import AuditEvent
from letta_proxy.models import Kind, OwnedResource
from tests.agents.conftest import BOTH_DRIVERS, EMBEDDING, Caller, InLetta, rows
from tests.conftest import Running

pytestmark = BOTH_DRIVERS


def test_leaves_nothing_behind(alice: Caller, agent: dict[str, Any], in_letta: InLetta) -> None:
    path = f"/agents/{agent['id']}"
    alice.letta("POST", f"{path}/archival-memory", json={"text": "sky"}).raise_for_status()

    assert alice("DELETE", path).status_code == 204

    assert in_letta.ids() == in_letta.ids("blocks") == in_letta.ids("archives") == []
    assert rows() == []
    assert not OwnedResource.objects.exists()
    assert alice("GET", path).status_code == alice.letta("GET", path).status_code == 404
    assert alice("DELETE", path).status_code == 404
    assert AuditEvent.objects.filter(action="agent.delete").count() == 1


def test_never_keeps_an_agent_in_letta_that_is_not_listed(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    path = f"/agents/{agent['id']}"

    refused = alice("DELETE", path, params={"keep_letta": "true"})

    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "/keep_letta")
    assert "not offered" in refused.json()["detail"]
    assert in_letta.ids() == [agent["id"]]
    assert alice("DELETE", path, params={"keep_letta": "false"}).status_code == 204


def test_leaves_what_others_use_and_what_was_made_on_its_own(
    alice: Caller, agent: dict[str, Any], template: str, in_letta: InLetta
) -> None:
    own = alice.letta("POST", "/blocks/", json={"label": "own", "value": "x"}).json()["id"]
    folder = alice.letta("POST", "/folders/", json={"name": "docs", "embedding": EMBEDDING})
    path = f"/agents/{agent['id']}"
    alice.letta("PATCH", f"{path}/core-memory/blocks/attach/{own}").raise_for_status()
    alice.letta("PATCH", f"{path}/folders/attach/{folder.json()['id']}").raise_for_status()
    shared = in_letta("GET", path)["blocks"][0]["id"]
    other = alice.create(template)["id"]
    attached = alice.letta("PATCH", f"/agents/{other}/core-memory/blocks/attach/{shared}")
    attached.raise_for_status()

    assert alice("DELETE", path).status_code == 204

    left = in_letta.ids("blocks")
    assert {own, shared} <= set(left)
    assert len(left) == 4
    assert in_letta.ids("folders") == [folder.json()["id"]]


def test_an_agent_that_letta_has_lost_is_deleted(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    in_letta("DELETE", f"/agents/{agent['id']}")

    assert alice("DELETE", f"/agents/{agent['id']}").status_code == 204
    assert rows() == []
    assert in_letta.ids("blocks") == []


def test_nothing_happens_while_letta_is_away(
    alice: Caller, agent: dict[str, Any], settings: Any
) -> None:
    alice.post(f"/agents/{agent['id']}/suspend")
    settings.LETTA_BASE_URL = "http://127.0.0.1:1"

    answer = alice("DELETE", f"/agents/{agent['id']}")

    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unreachable")
    (row,) = rows()
    assert (row.status, row.suspended_by) == (Status.SUSPENDED, "owner")


@pytest.mark.parametrize(
    "target", ["^/v1/agents/agent-[^/]+$", "^/v1/blocks/[^/]+$", "^/v1/archives/[^/]+$"]
)
def test_goes_on_where_an_attempt_has_failed(
    alice: Caller, agent: dict[str, Any], letta: Running, in_letta: InLetta, target: str
) -> None:
    path = f"/agents/{agent['id']}"
    alice.letta("POST", f"{path}/archival-memory", json={"text": "sky"}).raise_for_status()
    letta.fault(target, method="DELETE", status=500, times=1)

    assert alice("DELETE", path).status_code == 502
    (row,) = rows()
    assert (row.status, bool(row.last_error)) == (Status.DELETING, True)
    assert alice.get(path)["status"] == "deleting"
    assert alice("POST", f"{path}/suspend").status_code == 409

    assert alice("DELETE", path).status_code == 204
    assert rows() == []
    assert in_letta.ids() == in_letta.ids("blocks") == in_letta.ids("archives") == []


def test_only_the_known_state_is_deleted_when_the_caller_says_so(
    alice: Caller, agent: dict[str, Any]
) -> None:
    path = f"/agents/{agent['id']}"
    alice("PATCH", path, json={"name": "Eve"})

    stale = alice("DELETE", path, headers={"if-match": agent["etag"]})
    fresh = alice("DELETE", path, headers={"if-match": alice.get(path)["etag"]})

    assert [answer.status_code for answer in (stale, fresh)] == [412, 204]


def test_owned_rows_go_with_the_agent(alice: Caller, agent: dict[str, Any]) -> None:
    alice.letta("POST", f"/conversations/?agent_id={agent['id']}", json={}).raise_for_status()
    assert OwnedResource.objects.filter(kind=Kind.CONVERSATION).exists()

    response: httpx.Response = alice("DELETE", f"/agents/{agent['id']}")

    assert response.status_code == 204
    assert not OwnedResource.objects.exists()
