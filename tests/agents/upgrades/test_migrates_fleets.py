from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from agents.holdings import HOLDER
from agents.models import Agent
from agents.upgrades import services as upgrades
from agents.upgrades.fleets import working
from agents.upgrades.fleets.models import FleetAgent, Result
from gateway_core.audit.models import AuditEvent
from gateway_core.jobs import services as jobs
from gateway_core.jobs.models import Job
from tests.agents.conftest import BOTH_DRIVERS, Caller, InLetta
from tests.agents.upgrades.conftest import HUMAN, RULES, Memory, in_a_process, next_file
from tests.conftest import Running


@pytest.fixture
def staff(alice: Caller) -> Caller:
    alice.get("/me")
    User.objects.update(is_staff=True)
    may_migrate = Permission.objects.get(codename="migrate_agents")
    User.objects.get().user_permissions.set([may_migrate])
    return alice


@pytest.fixture
def fleet(staff: Caller, template: str) -> str:
    """Return a template with four agents and a new version."""
    for number in range(4):
        staff.create(template, agent_name=f"Ada {number}", tags=["even"] if not number % 2 else [])
    staff.post("/templates/publish", json=next_file())
    return template


def work_once() -> bool:
    return bool(in_a_process(jobs.work_once))


def begin(staff: Caller, template: str, **wish: Any) -> str:
    made = staff.post(f"/templates/{template}/migrations", json={"dry_run": False, **wish})
    return f"/templates/{template}/migrations/{made['id']}"


def results(staff: Caller, where: str) -> list[str]:
    return [line["result"] for line in staff.get(f"{where}/agents")["data"]][::-1]


def versions() -> list[str]:
    return list(Agent.objects.order_by("created_at").values_list("version", flat=True))


@BOTH_DRIVERS
def test_finds_out_what_would_be_done_unless_told_otherwise(staff: Caller, fleet: str) -> None:
    answer = staff("POST", f"/templates/{fleet}/migrations", json={})
    assert answer.status_code == 202
    where = answer.headers["location"].removeprefix("/api/v1")
    assert (answer.json()["state"], answer.json()["total"]) == ("waiting", 4)
    assert work_once()

    told = staff.get(where)
    assert (told["state"], told["dry_run"], told["done"]) == ("done", True, 4)
    assert told["counts"]["planned"] == 4
    lines = staff.get(f"{where}/agents")["data"]
    assert {"op": "change", "pointer": "/persona/system_prompt"} in lines[0]["plan"]
    assert versions() == ["1.0.0"] * 4


@BOTH_DRIVERS
def test_migrates_all_agents_and_reports_on_each(staff: Caller, fleet: str) -> None:
    where = begin(staff, fleet)
    assert work_once()

    assert staff.get(where)["counts"]["migrated"] == 4
    assert versions() == ["1.1.0"] * 4
    line = staff.get(f"{where}/agents")["data"][0]
    migration = staff.get(f"/agents/{line['agent_id']}/migrations/{line['migration']}")
    assert migration["state"] == "applied"
    assert staff.get(f"/templates/{fleet}/migrations")["data"] == [staff.get(where)]
    assert AuditEvent.objects.filter(action="fleet.begin").count() == 1
    assert AuditEvent.objects.filter(action="agent.upgrade").count() == 4


@pytest.mark.parametrize(
    ("chosen", "count"),
    [({"tag": "even"}, 2), ({"versions": ["0.9.0"]}, 0), ({"versions": ["1.0.0"]}, 4)],
)
def test_migrates_those_that_were_chosen(
    staff: Caller, fleet: str, chosen: dict[str, Any], count: int
) -> None:
    begin(staff, fleet, filter=chosen)
    work_once()
    assert versions().count("1.1.0") == count


def test_names_nobody_who_was_erased(staff: Caller, bob: Caller, fleet: str) -> None:
    bob.get("/me")
    user_id, other_id = User.objects.order_by("created_at").values_list("pk", flat=True)
    begin(staff, fleet, filter={"user_ids": [str(user_id), str(other_id)]})
    work_once()

    erased = HOLDER.erase(user_id)

    assert erased["lines under a pseudonym"] == 4
    rows = [*FleetAgent.objects.values(), *Job.objects.values()]
    assert str(user_id) not in str(rows)
    assert str(other_id) in str(rows)


@BOTH_DRIVERS
def test_rests_after_the_canary_until_it_is_resumed(staff: Caller, fleet: str) -> None:
    where = begin(staff, fleet, canary=0.25)
    assert work_once()
    told = staff.get(where)
    assert (told["state"], told["stopped"], told["done"]) == ("paused", "canary", 1)
    assert not work_once()

    staff.post(f"{where}/resume")
    assert work_once()
    assert versions() == ["1.1.0"] * 4
    assert staff.get(where)["state"] == "done"


def test_stops_by_itself_when_too_many_fail(staff: Caller, fleet: str, letta: Running) -> None:
    letta.fault("^/v1/agents/agent-[^/]*$", method="PATCH", status=500)
    where = begin(staff, fleet, batch_size=1, max_error_rate=0.5)
    assert work_once()

    told = staff.get(where)
    assert (told["state"], told["stopped"], told["done"]) == ("paused", "error rate", 1)
    assert results(staff, where) == ["failed", "waiting", "waiting", "waiting"]
    letta.mend()
    staff.post(f"{where}/resume")
    while work_once():
        pass
    assert results(staff, where) == ["failed", "migrated", "migrated", "migrated"]
    assert staff.get(where)["counts"]["failed"] == 1


@pytest.mark.parametrize(
    ("wish", "done"),
    [
        ({}, 1),  # of 4 agents at the most, however large a batch may be
        ({"max_error_rate": 0.25}, 2),
        ({"max_error_rate": 0.25, "canary": 2}, 1),  # the canary is two
        ({"max_error_rate": 0.25, "batch_size": 3}, 1),
    ],
)
def test_takes_the_error_rate_over_what_a_batch_can_have(
    staff: Caller, fleet: str, letta: Running, wish: dict[str, Any], done: int
) -> None:
    letta.fault("^/v1/agents/agent-[^/]*$", method="PATCH", status=500)
    where = begin(staff, fleet, **wish)
    assert work_once()

    told = staff.get(where)
    assert (told["state"], told["stopped"], told["done"]) == ("paused", "error rate", done)


def test_ends_when_the_last_one_fails(staff: Caller, fleet: str, letta: Running) -> None:
    newest = Agent.objects.order_by("created_at").last()
    assert newest is not None
    letta.fault(f"^/v1/agents/{newest.agent_id}$", method="PATCH", status=500)
    where = begin(staff, fleet)
    assert work_once()

    assert (staff.get(where)["state"], results(staff, where)[-1]) == ("done", "failed")


def test_gives_way_to_other_jobs_after_each_batch(staff: Caller, fleet: str) -> None:
    other = staff.publish(template={"name": "other", "version": "1.0.0"})
    staff.create(other)
    staff.post("/templates/publish", json=next_file(template={"name": "other", "version": "1.1.0"}))
    whole, small = begin(staff, fleet, batch_size=3), begin(staff, other)

    told = []
    while work_once():
        told.append((staff.get(whole)["done"], staff.get(small)["done"]))

    assert told == [(3, 0), (3, 1), (4, 1)]
    assert (staff.get(whole)["state"], staff.get(small)["state"]) == ("done", "done")


def test_waits_for_letta_rather_than_failing_agents(
    staff: Caller, fleet: str, settings: Any
) -> None:
    where = begin(staff, fleet)
    url, settings.LETTA_BASE_URL = settings.LETTA_BASE_URL, "http://127.0.0.1:9"
    assert work_once()
    assert staff.get(where)["state"] == "waiting"
    assert set(results(staff, where)) == {"working", "waiting"}

    settings.LETTA_BASE_URL = url
    Job.objects.update(not_before="2000-01-01T00:00Z")
    assert work_once()
    assert results(staff, where) == ["migrated"] * 4


@BOTH_DRIVERS
def test_lists_conflicts_and_leaves_such_agents_alone(
    staff: Caller, template: str, in_letta: InLetta
) -> None:
    agent = staff.create(template)
    staff.create(template)
    rules = {**RULES, "value": "Be very {{tone}}."}
    staff.post("/templates/publish", json=next_file(memory_layout={"blocks": [HUMAN, rules]}))
    Memory(in_letta, agent["id"]).learn("rules", "Be bold.")
    where = begin(staff, template)
    assert work_once()

    assert results(staff, where) == ["conflict", "migrated"]
    line = staff.get(f"{where}/agents?result=conflict")["data"][0]
    assert line["conflicts"][0]["pointer"] == "/memory_layout/blocks/rules/value"

    begin(staff, template, strategy="keep_agent")
    assert work_once()
    assert versions() == ["1.1.0"] * 2


@BOTH_DRIVERS
@pytest.mark.parametrize("die_at", [0, 1, 3])
def test_goes_on_after_its_worker_has_died(
    staff: Caller, fleet: str, monkeypatch: pytest.MonkeyPatch, die_at: int
) -> None:
    class Killed(BaseException):
        pass

    original, calls = upgrades.upgrade_agent, []

    def dying(**named: Any) -> Any:
        calls.append(named)
        result = original(**named)
        if len(calls) == die_at + 1:
            raise Killed
        return result

    monkeypatch.setattr(working, "upgrade_agent", dying)
    where = begin(staff, fleet)
    with pytest.raises(Killed):
        work_once()
    assert not work_once()  # the lease is the dead worker's
    Job.objects.update(lease_until="2000-01-01T00:00Z")

    assert work_once()

    assert versions() == ["1.1.0"] * 4
    assert results(staff, where) == ["migrated"] * 4
    assert staff.get(where)["counts"]["migrated"] == 4
    assert len(calls) == 4


def test_the_last_agent_of_many_costs_as_much_as_the_first(
    staff: Caller, template: str, letta: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many queries and as many calls to Letta for each agent, and none for all of them."""
    for number in range(12):
        staff.create(template, agent_name=f"Ada {number}")
    staff.post("/templates/publish", json=next_file())
    begin(staff, template)
    costs: list[tuple[int, int]] = []
    original = working._migrate

    def counting(*arguments: Any) -> None:
        letta.client.delete("/_sandbox/requests").raise_for_status()
        with CaptureQueriesContext(connection) as queries:
            original(*arguments)
        costs.append((len(queries), len(letta.requests("^/v1/"))))

    monkeypatch.setattr(working, "_migrate", counting)
    assert work_once()

    assert len(costs) == 12
    assert len(set(costs[1:])) == 1


@pytest.mark.django_db
def test_finds_the_next_of_many_agents_by_an_index() -> None:
    job = jobs.ask_for("fleet migration", subject="x")
    FleetAgent.objects.bulk_create(
        FleetAgent(
            job=job,
            position=number,
            agent_id=f"agent-{number}",
            owner_id=job.pk,
            from_version="1.0.0",
            result=Result.MIGRATED if number < 4000 else Result.WAITING,
        )
        for number in range(8000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE agents_fleetagent")
        with CaptureQueriesContext(connection) as queries:
            line = working._next(job.pk)
        cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert line is not None
    assert line.position == 4000
    assert "fleet_undone" in plan
    assert "Sort" not in plan


def test_can_be_paused_and_cancelled(staff: Caller, fleet: str) -> None:
    where = begin(staff, fleet)
    assert staff.post(f"{where}/pause")["state"] == "paused"
    assert not work_once()
    assert staff("POST", f"/templates/{fleet}/migrations", json={}).status_code == 409
    assert staff.post(f"{where}/cancel")["state"] == "cancelled"
    for verb in ("pause", "resume", "cancel"):
        assert staff("POST", f"{where}/{verb}").status_code == 409
    assert versions() == ["1.0.0"] * 4
    begin(staff, fleet)


def test_is_for_staff_who_may(staff: Caller, template: str) -> None:
    where = begin(staff, template)
    User.objects.get().user_permissions.clear()

    for method, path in (
        *(("GET", f"/templates/{template}/migrations"), ("GET", where), ("GET", f"{where}/agents")),
        *(("POST", f"/templates/{template}/migrations"), ("POST", f"{where}/cancel")),
    ):
        answer = staff(method, path, json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "policy_forbidden")
        assert "agents.migrate_agents" in answer.json()["detail"]


def test_is_for_staff(bob: Caller, alice: Caller, template: str) -> None:
    for caller in (alice, bob):
        for method in ("GET", "POST"):
            answer = caller(method, f"/templates/{template}/migrations", json={})
            assert (answer.status_code, answer.json()["code"]) == (403, "policy_forbidden")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"max_error_rate": 2}, "/max_error_rate"),
        ({"filter": {"name": "x"}}, "/filter/name"),
        ({"strategy": "x"}, "/strategy"),
        ({"batch_size": 0}, "/batch_size"),
    ],
)
def test_refuses_bad_wishes(staff: Caller, fleet: str, wish: dict[str, Any], pointer: str) -> None:
    answer = staff("POST", f"/templates/{fleet}/migrations", json=wish)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, pointer)


def command(*arguments: str, **options: Any) -> str:
    out = StringIO()
    in_a_process(call_command, "migrate_agents", *arguments, stdout=out, **options)
    return out.getvalue()


@BOTH_DRIVERS
def test_the_command_migrates_and_goes_on_where_it_has_stopped(staff: Caller, fleet: str) -> None:
    assert "4 planned" in command(fleet, "latest", dry_run=True)
    assert "Paused by canary" in command(fleet, "1.1.0", canary=1)
    assert versions() == ["1.1.0", *["1.0.0"] * 3]
    with pytest.raises(CommandError, match=r"1\.1\.0 has not ended"):
        command(fleet, "1.2.0")
    assert "4 migrated" in command(fleet, "1.1.0")
    assert versions() == ["1.1.0"] * 4
    assert FleetAgent.objects.filter(result=Result.MIGRATED).count() == 4
    with pytest.raises(CommandError, match=r"no (such )?version"):
        command(fleet, "9.9.9")
    del staff


def test_the_command_migrates_those_that_were_chosen(staff: Caller, fleet: str) -> None:
    first, *_others, last = Agent.objects.order_by("created_at")
    chosen = {"agent_ids": [first.agent_id, last.agent_id], "versions": ["1.0.0"]}
    assert "1 migrated, 0 unchanged" in command(fleet, "1.1.0", tag="even", **chosen)
    assert versions() == ["1.1.0", *["1.0.0"] * 3]

    assert "Paused" in command(fleet, "1.1.0", user_ids=[first.user_id], canary=1, batch_size=1)
    with pytest.raises(CommandError, match="other agents"):
        command(fleet, "1.1.0", tag="even")
    assert "3 migrated" in command(fleet, "1.1.0", batch_size=2)
    del staff


def test_the_command_fails_when_agents_do(staff: Caller, fleet: str, letta: Running) -> None:
    first = Agent.objects.earliest("created_at").agent_id
    letta.fault(f"^/v1/agents/{first}$", method="PATCH", status=500)
    with pytest.raises(CommandError, match=f"1 failed, such as:\n  {first}: "):
        command(fleet, "latest", max_error_rate=0)
    assert versions() == ["1.0.0"] * 4
    letta.mend()
    with pytest.raises(CommandError, match="1 failed"):
        command(fleet, "1.1.0")
    assert versions() == ["1.0.0", *["1.1.0"] * 3]
    del staff
