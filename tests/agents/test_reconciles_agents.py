from __future__ import annotations

import threading
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from agents.models import Agent, Origin, Status
from agents.reconcile import Repair, reconcile
from gateway_core import cache
from gateway_core.advisory import only_one
from gateway_core.audit.models import AuditEvent
from letta_proxy.models import Kind, LettaAccount, OwnedResource
from tests.agents.conftest import BOTH_DRIVERS, EMBEDDING, MODEL, Caller, InLetta, rows
from tests.conftest import Running

pytestmark = BOTH_DRIVERS


def counts(**options: Any) -> dict[Repair, int]:
    return {k: n for k, n in reconcile(grace_seconds=0, **options).counts.items() if n}


def command(**options: Any) -> str:
    out = StringIO()
    call_command("reconcile_agents", stdout=out, **options)
    return out.getvalue()


def owned(agent_id: str) -> bool:
    return OwnedResource.objects.filter(kind=Kind.AGENT, upstream_id=agent_id).exists()


def test_finds_nothing_where_nothing_is_wrong(alice: Caller, agent: dict[str, Any]) -> None:
    alice.letta("POST", "/agents/", json={"name": "Bare", "model": MODEL}).raise_for_status()
    before = list(Agent.objects.values())

    assert counts() == {}
    assert list(Agent.objects.values()) == before
    assert len(before) == 2
    del agent


def test_adopts_an_agent_whose_owner_was_not_written_down(
    alice: Caller, letta: Running, in_letta: InLetta
) -> None:
    """Letta has made it, and the gateway died before it could note whose it is."""
    memory = [{"label": "human", "value": "x"}]
    made = alice.letta(
        "POST", "/agents/", json={"name": "Bare", "model": MODEL, "memory_blocks": memory}
    ).json()
    OwnedResource.objects.all().delete()
    Agent.objects.update(status=Status.CREATING, agent_id="")
    letta.client.delete("/_sandbox/requests")

    assert counts() == {Repair.UNDONE: 1, Repair.ADOPTED: 1}

    (row,) = rows()
    assert (row.agent_id, row.status, row.origin) == (made["id"], "active", Origin.LETTA)
    assert row.name == "Bare"
    assert owned(made["id"])
    assert OwnedResource.objects.filter(kind=Kind.BLOCK, agent_id=made["id"]).count() == 1
    assert alice.letta("GET", f"/agents/{made['id']}").status_code == 200
    assert in_letta.ids() == [made["id"]]
    assert counts() == {}


def test_gives_agents_of_before_a_row(alice: Caller) -> None:
    made = alice.letta("POST", "/agents/", json={"name": "Bare", "model": MODEL}).json()
    Agent.objects.all().delete()

    assert counts() == {Repair.ADOPTED: 1}
    assert rows()[0].agent_id == made["id"]


def test_puts_a_lost_owner_back(alice: Caller, agent: dict[str, Any]) -> None:
    OwnedResource.objects.all().delete()

    assert counts() == {Repair.OWNED: 1}
    assert alice.letta("GET", f"/agents/{agent['id']}").status_code == 200
    assert len(rows()) == 1


def test_deletes_what_nobody_has_heard_of(agent: dict[str, Any], in_letta: InLetta) -> None:
    """Letta was so slow with it that the gateway had given it up."""
    Agent.objects.all().delete()
    OwnedResource.objects.all().delete()

    assert counts() == {Repair.ORPHANED: 1}
    assert in_letta.ids() == []
    del agent


def test_deletes_nothing_that_was_ever_used(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    """Rows are gone after a backup was brought back; what users have said is not."""
    alice.letta("POST", f"/agents/{agent['id']}/messages", json={"input": "hi"}).raise_for_status()
    Agent.objects.all().delete()
    OwnedResource.objects.all().delete()

    assert counts() == {Repair.ADOPTED: 1}
    assert in_letta.ids() == [agent["id"]]
    assert alice.letta("GET", f"/agents/{agent['id']}").status_code == 200


def test_drops_the_row_of_an_agent_that_letta_has_lost(
    agent: dict[str, Any], in_letta: InLetta
) -> None:
    in_letta("DELETE", f"/agents/{agent['id']}")

    assert counts() == {Repair.LOST: 1}
    assert rows() == []
    assert not owned(agent["id"])
    assert AuditEvent.objects.filter(action="agent.lose").count() == 1


def test_forgets_whose_an_agent_was_that_is_gone(agent: dict[str, Any], in_letta: InLetta) -> None:
    in_letta("DELETE", f"/agents/{agent['id']}")
    Agent.objects.all().delete()

    assert counts() == {Repair.FORGOTTEN: 1}
    assert not owned(agent["id"])


def test_keeps_rows_when_letta_does_not_know_the_user_any_more(
    agent: dict[str, Any], in_letta: InLetta
) -> None:
    """Another Letta, or an empty one, stands behind the gateway."""
    account = LettaAccount.objects.get()
    LettaAccount.objects.update(letta_user_id="user-00000000-0000-4000-8000-000000000009")
    cache.clear_all()

    outcome = reconcile(grace_seconds=0)

    assert (outcome.failed, sum(outcome.counts.values())) == (1, 0)
    assert len(rows()) == 1
    LettaAccount.objects.update(letta_user_id=account.letta_user_id)
    cache.clear_all()
    assert in_letta.ids() == [agent["id"]]


@pytest.mark.parametrize("status", [Status.CREATING, Status.DELETING])
def test_leaves_alone_what_may_be_under_way(
    agent: dict[str, Any], status: Status, in_letta: InLetta
) -> None:
    Agent.objects.update(status=status, status_at=timezone.now() - timedelta(seconds=200))
    if status == Status.CREATING:
        Agent.objects.update(agent_id="")
        OwnedResource.objects.all().delete()

    assert sum(reconcile().counts.values()) == 0
    assert rows()[0].status == status

    Agent.objects.update(status_at=timezone.now() - timedelta(seconds=301))
    assert sum(reconcile().counts.values()) == 1
    assert in_letta.ids() == ([agent["id"]] if status == Status.CREATING else [])


def test_leaves_a_young_agent_alone_whose_row_is_not_complete(alice: Caller) -> None:
    alice.letta("POST", "/agents/", json={"name": "Bare", "model": MODEL}).raise_for_status()
    Agent.objects.update(status=Status.CREATING, agent_id="")
    OwnedResource.objects.all().delete()

    assert sum(reconcile().counts.values()) == 0


def test_a_user_without_an_account_in_letta_gets_none(alice: Caller, template: str) -> None:
    user_id = alice.get("/me")["id"]
    LettaAccount.objects.all().delete()
    Agent.objects.create(user_id=user_id)
    del template

    assert counts() == {Repair.UNDONE: 1}
    assert not LettaAccount.objects.exists()


def test_only_says_what_it_would_do(agent: dict[str, Any], in_letta: InLetta) -> None:
    in_letta("DELETE", f"/agents/{agent['id']}")

    said = command(dry_run=True, grace=0.0)

    assert f"rows of lost agents dropped: {agent['id']} of user {agent['user_id']}" in said
    assert "1 users, " in said
    assert "1 rows of lost agents dropped" in said
    assert said.rstrip().endswith("nothing was done")
    assert len(rows()) == 1


@pytest.mark.parametrize("is_without_account", [True, False])
def test_changes_nothing_anywhere_when_it_only_says(
    agent: dict[str, Any], letta: Running, *, is_without_account: bool
) -> None:
    """Neither does it make an account, nor bring one up to date."""
    if is_without_account:
        LettaAccount.objects.all().delete()
    LettaAccount.objects.update(address_hash="of another address")
    OwnedResource.objects.all().delete()
    cache.clear_all()
    letta.client.delete("/_sandbox/requests").raise_for_status()
    kept = (Agent, LettaAccount, OwnedResource, AuditEvent)
    before = [list(model.objects.values()) for model in kept]

    said = command(dry_run=True, grace=0.0)

    expected = "1 rows of lost agents" if is_without_account else "1 owners put back"
    assert expected in said
    assert [list(model.objects.values()) for model in kept] == before
    assert {request["method"] for request in letta.requests()} <= {"GET"}
    assert agent["id"] in said


def test_takes_one_user_by_id_or_address(
    alice: Caller, bob: Caller, template: str, in_letta: InLetta
) -> None:
    mine = alice.create(template)
    bobs = bob.letta("POST", "/agents/", json={"name": "B", "model": MODEL}).json()
    in_letta("DELETE", f"/agents/{mine['id']}")
    in_letta("DELETE", f"/agents/{bobs['id']}", email="bob@example.com")

    assert "1 rows of lost agents dropped" in command(user="Bob@example.com", grace=0.0)
    assert [row.agent_id for row in rows()] == [mine["id"]]
    assert "1 rows of lost agents dropped" in command(user=mine["user_id"], grace=0.0)
    assert rows() == []
    with pytest.raises(CommandError, match="There is no user"):
        command(user="eve@example.com")


def test_stops_while_letta_is_away(agent: dict[str, Any], settings: Any) -> None:
    settings.LETTA_BASE_URL = "http://127.0.0.1:1"
    with pytest.raises(CommandError, match="Nothing is lost"):
        command(grace=0.0)
    assert len(rows()) == 1
    del agent


def test_goes_on_with_other_users_when_one_fails(
    alice: Caller, bob: Caller, letta: Running
) -> None:
    for caller in (alice, bob):
        caller.letta("POST", "/agents/", json={"name": "B", "model": MODEL}).raise_for_status()
    letta.fault("^/v1/agents/$", status=500, times=1)

    with pytest.raises(CommandError, match="Users that failed: 1"):
        command(grace=0.0)


def test_goes_on_with_other_users_when_one_has_what_can_not_be_stored(
    alice: Caller, bob: Caller, in_letta: InLetta
) -> None:
    """Letta keeps a NUL in metadata, PostgreSQL does not."""
    for caller in (alice, bob):
        caller.letta("GET", "/agents/").raise_for_status()
    for email, metadata in (("alice@example.com", {"a": "\0"}), ("bob@example.com", {})):
        body = {"name": "Bare", "model": MODEL, "metadata": metadata}
        in_letta("POST", "/agents/", email=email, json=body)

    outcome = reconcile(grace_seconds=0)

    assert (outcome.users, outcome.failed, outcome.counts[Repair.ADOPTED]) == (2, 1, 1)


def test_runs_once_at_a_time(agent: dict[str, Any], in_letta: InLetta) -> None:
    in_letta("DELETE", f"/agents/{agent['id']}")
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with only_one("reconcile_agents"):
            held.set()
            over.wait(10)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)

    with pytest.raises(CommandError, match="Another process"):
        command(grace=0.0)
    assert len(rows()) == 1
    over.set()
    holder.join()


def test_a_deletion_that_broke_off_is_finished(
    alice: Caller, agent: dict[str, Any], letta: Running, in_letta: InLetta
) -> None:
    letta.fault("^/v1/blocks/", method="DELETE", status=500, times=1)
    assert alice("DELETE", f"/agents/{agent['id']}").status_code == 502

    assert counts() == {Repair.DELETED: 1}
    assert rows() == []
    assert in_letta.ids() == in_letta.ids("blocks") == []


def test_what_came_beside_an_agent_gets_an_owner_and_no_row(
    alice: Caller, agent: dict[str, Any], in_letta: InLetta
) -> None:
    beside = in_letta(
        "POST",
        "/agents/",
        json={"name": "S", "model": MODEL, "embedding": EMBEDDING},
    )["id"]
    OwnedResource.objects.create(
        user_id=agent["user_id"], kind=Kind.AGENT, upstream_id=beside, agent_id=agent["id"]
    )

    assert counts() == {}
    assert [row.agent_id for row in rows()] == [agent["id"]]
    del alice
