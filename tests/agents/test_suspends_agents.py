from __future__ import annotations

import threading
import time
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from agents import services
from agents.models import Agent
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from letta_proxy import roster
from letta_proxy.models import OwnedResource
from tests.agents.conftest import BOTH_DRIVERS, Caller
from tests.conftest import Running


@pytest.fixture
def conversation(alice: Caller, agent: dict[str, Any]) -> str:
    answer = alice.letta("POST", f"/conversations/?agent_id={agent['id']}", json={})
    return str(answer.json()["id"])


def suspend(caller: Caller, agent: dict[str, Any]) -> None:
    caller.post(f"/agents/{agent['id']}/suspend")


def test_nothing_reaches_a_suspended_agent(
    alice: Caller, agent: dict[str, Any], conversation: str, letta: Running
) -> None:
    run = alice.letta("POST", f"/agents/{agent['id']}/messages/async", json={"input": "hi"}).json()
    suspend(alice, agent)
    letta.client.delete("/_sandbox/requests")

    for method, path, body in (
        ("GET", f"/agents/{agent['id']}", None),
        ("PATCH", f"/agents/{agent['id']}", {"name": "Eve"}),
        ("DELETE", f"/agents/{agent['id']}", None),
        ("POST", f"/agents/{agent['id']}/messages", {"input": "hi"}),
        ("POST", f"/agents/{agent['id']}/messages/stream", {"input": "hi"}),
        ("POST", f"/conversations/{conversation}/messages", {"input": "hi"}),
        ("POST", "/conversations/default/messages", {"input": "hi", "agent_id": agent["id"]}),
        ("POST", f"/conversations/{agent['id']}/messages", {"input": "hi"}),
        ("POST", "/chat/completions", {"model": agent["id"], "messages": [], "stream": True}),
        ("GET", f"/runs/{run['id']}", None),
    ):
        answer = alice.letta(method, path, json=body)
        assert (path, answer.status_code) == (path, 423)
        assert answer.json()["code"] == "policy_agent_suspended"
        assert answer.headers["x-should-retry"] == "false"
    assert letta.requests(r"/messages|/chat") == []


def test_nothing_reaches_what_writes_the_memory_of_a_suspended_agent(
    alice: Caller, agent: dict[str, Any], template: str
) -> None:
    """Letta makes a sleeptime agent beside another one, and both have the same blocks."""
    beside = alice.create(template)["id"]
    Agent.objects.filter(agent_id=beside).delete()
    OwnedResource.objects.filter(upstream_id=beside).update(agent_id=agent["id"])
    assert alice.letta("GET", f"/agents/{beside}").status_code == 200

    suspend(alice, agent)

    answer = alice.letta("POST", f"/agents/{beside}/messages", json={"input": "hi"})
    assert (answer.status_code, answer.json()["code"]) == (423, "policy_agent_suspended")


@pytest.fixture
def block(alice: Caller, agent: dict[str, Any]) -> str:
    return str(alice.letta("GET", f"/agents/{agent['id']}/core-memory/blocks").json()[0]["id"])


def test_nothing_reaches_the_memory_of_a_suspended_agent(
    alice: Caller, agent: dict[str, Any], block: str, template: str, letta: Running
) -> None:
    other = alice.create(template)["id"]
    archive = alice.letta("POST", "/archives/", json={"name": "x"}).json()["id"]
    at = f"/agents/{agent['id']}"
    alice.letta("PATCH", f"{at}/archives/attach/{archive}").raise_for_status()
    suspend(alice, agent)
    letta.client.delete("/_sandbox/requests")

    for method, path, body in (
        ("GET", f"/blocks/{block}", None),
        ("PATCH", f"/blocks/{block}", {"value": "mine"}),
        ("DELETE", f"/blocks/{block}", None),
        ("PATCH", f"/agents/{other}/core-memory/blocks/attach/{block}", None),
        ("POST", "/agents/", {"name": "copy", "block_ids": [block]}),
        ("GET", f"/archives/{archive}", None),
        ("POST", f"/archives/{archive}/passages", {"text": "mine"}),
        ("PATCH", f"/agents/{other}/archives/attach/{archive}", None),
    ):
        answer = alice.letta(method, path, json=body)
        assert (method, path, answer.status_code) == (method, path, 423)
        assert answer.json()["code"] == "policy_agent_suspended"
    assert {one["method"] for one in letta.requests(r"/blocks/|/archives/")} == {"GET"}


def test_memory_that_an_open_agent_shares_is_reached(
    alice: Caller, agent: dict[str, Any], block: str, template: str
) -> None:
    other = f"/agents/{alice.create(template)['id']}/core-memory/blocks"
    alice.letta("PATCH", f"{other}/attach/{block}").raise_for_status()
    suspend(alice, agent)

    answer = alice.letta("PATCH", f"/blocks/{block}", json={"value": "ours"})
    assert answer.status_code == 200

    alice.letta("PATCH", f"{other}/detach/{block}").raise_for_status()
    assert alice.letta("GET", f"/blocks/{block}").status_code == 423


def test_memory_costs_no_look_up_while_nothing_is_suspended(
    alice: Caller, block: str, letta: Running
) -> None:
    alice.letta("GET", f"/blocks/{block}").raise_for_status()
    letta.client.delete("/_sandbox/requests")
    alice.letta("GET", f"/blocks/{block}").raise_for_status()
    assert len(letta.requests("/v1/")) == 1


def test_staff_are_told_why_a_request_is_denied(alice: Caller, agent: dict[str, Any]) -> None:
    suspend(alice, agent)
    out = StringIO()

    with pytest.raises(SystemExit):
        call_command(
            "explain_access",
            "GET",
            f"/v1/agents/{agent['id']}",
            user="alice@example.com",
            stdout=out,
        )

    assert "423" in out.getvalue()
    assert "suspended" in out.getvalue()


def test_other_agents_and_things_go_on(alice: Caller, agent: dict[str, Any], template: str) -> None:
    other = alice.create(template)["id"]
    suspend(alice, agent)

    said = alice.letta("POST", f"/agents/{other}/messages", json={"input": "hi"})
    assert said.status_code == 200
    assert alice.letta("GET", "/agents/").status_code == 200
    assert alice.letta("POST", "/blocks/", json={"label": "x", "value": "y"}).status_code == 200


@BOTH_DRIVERS
def test_says_so_and_goes_on_when_it_is_resumed(alice: Caller, agent: dict[str, Any]) -> None:
    path = f"/agents/{agent['id']}"
    alice.letta("GET", path).raise_for_status()

    suspended = alice("POST", f"{path}/suspend").json()
    again = alice("POST", f"{path}/suspend").json()
    assert (suspended["status"], suspended["suspended_by"]) == ("suspended", "owner")
    assert again == suspended
    assert alice.letta("GET", path).status_code == 423

    resumed = alice("POST", f"{path}/resume").json()
    assert (resumed["status"], resumed["suspended_by"]) == ("active", "")
    assert alice.letta("GET", path).status_code == 200
    assert alice("POST", f"{path}/resume").json() == resumed
    actions = list(AuditEvent.objects.filter(action__startswith="agent.").order_by("id"))
    assert [event.action for event in actions] == ["agent.create", "agent.suspend", "agent.resume"]


def test_a_suspended_agent_is_looked_after_all_the_same(
    alice: Caller, agent: dict[str, Any]
) -> None:
    path = f"/agents/{agent['id']}"
    suspend(alice, agent)

    assert alice("GET", path).json()["status"] == "suspended"
    assert alice("PATCH", path, json={"name": "Eve"}).json()["status"] == "suspended"
    assert alice("GET", f"{path}/export").status_code == 200
    assert alice("POST", f"{path}/clone", json={}).json()["agent"]["status"] == "active"
    assert alice.letta("GET", path).status_code == 423
    assert alice("DELETE", path).status_code == 204


@pytest.mark.parametrize(("below", "answered"), [("/stream", 200), ("", 423)])
def test_what_is_under_way_ends_within_a_second(
    alice: Caller, agent: dict[str, Any], below: str, answered: int
) -> None:
    path = f"/letta/v1/agents/{agent['id']}/messages{below}"
    body = {"messages": [{"role": "user", "content": "SLOW:100:0.05"}]}
    ended: list[tuple[float, int, str]] = []
    began = threading.Event()

    def listen() -> None:
        with alice.client.stream("POST", f"/api/v1{path}", json=body) as answer:
            began.set()
            text = "".join(answer.iter_text())
            ended.append((time.monotonic(), answer.status_code, text))

    listener = threading.Thread(target=listen)
    listener.start()
    began.wait(0.5)
    suspend(alice, agent)
    at = time.monotonic()
    listener.join(5)

    when, status, text = ended[0]
    assert when - at < 1
    assert "policy_agent_suspended" in text
    assert status == answered


def test_what_staff_have_suspended_staff_resume(
    alice: Caller, bob: Caller, agent: dict[str, Any]
) -> None:
    bob.get("/me")
    staff = get_user_model().objects.get(email="bob@example.com")
    row = Agent.objects.get()
    suspend(alice, agent)
    services.suspend_agent(agent=row, by=staff)

    answer = alice("POST", f"/agents/{agent['id']}/resume")

    assert (answer.status_code, answer.json()["code"]) == (423, "policy_agent_suspended")
    assert alice("POST", f"/agents/{agent['id']}/suspend").json()["suspended_by"] == "staff"
    services.resume_agent(agent=row, by=staff)
    assert alice.letta("GET", f"/agents/{agent['id']}").status_code == 200


@BOTH_DRIVERS
def test_what_staff_have_suspended_its_owner_sees_and_neither_copies_nor_removes(
    alice: Caller, bob: Caller, agent: dict[str, Any]
) -> None:
    bob.get("/me")
    path = f"/agents/{agent['id']}"
    by = get_user_model().objects.get(email="bob@example.com")
    services.suspend_agent(agent=Agent.objects.get(), by=by)
    before = alice("GET", path).json()
    assert (before["status"], before["suspended_by"]) == ("suspended", "staff")

    for method, below, body in (
        *(("PATCH", "", {"name": "Eve"}), ("DELETE", "", None), ("POST", "/clone", {})),
        *(("GET", "/export", None), ("POST", "/resume", None)),
        ("POST", "/upgrade", {"dry_run": False, "force": True}),
    ):
        answer = alice(method, f"{path}{below}", json=body)
        assert (below, answer.status_code) == (below, 423)
        assert answer.json()["code"] == "policy_agent_suspended"
        assert "support" in answer.json()["detail"]
    assert alice("GET", path).json() == before
    assert Agent.objects.count() == 1


def test_every_process_hears_of_it(
    alice: Caller, agent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(cache, "invalidate", lambda *what: told.append(what))

    suspend(alice, agent)

    assert told == [(roster.INVALIDATION_SUBJECT, agent["user_id"])]


def test_remembers_that_nothing_is_suspended_until_something_is(
    alice: Caller, agent: dict[str, Any]
) -> None:
    user_id = Agent.objects.get().user_id
    alice.letta("GET", f"/agents/{agent['id']}")
    assert roster._shut.get(user_id) == {}

    suspend(alice, agent)

    assert roster._shut.get(user_id) is None


def test_an_agent_that_the_gateway_is_changing_is_busy(
    alice: Caller, agent: dict[str, Any]
) -> None:
    Agent.objects.update(status="upgrading")
    cache.clear_all()

    answer = alice.letta("GET", f"/agents/{agent['id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")
    assert answer.headers["retry-after"] == "2"
    for method, action in (("POST", "/suspend"), ("PATCH", ""), ("DELETE", "")):
        refused = alice(method, f"/agents/{agent['id']}{action}", json={"name": "Eve"})
        assert (action, refused.status_code) == (action, 409)
    assert Agent.objects.get().status == "upgrading"
