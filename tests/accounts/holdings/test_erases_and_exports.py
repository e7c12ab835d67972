from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from accounts.holdings import holder as holding
from accounts.holdings.document import Document
from accounts.holdings.holder import Holder, register
from accounts.models import Denial, ExportPart, User
from accounts.supabase.client import find_users
from gateway_core.audit import persons, trail
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.persons import pseudonym_of
from gateway_core.audit.services import record_change
from gateway_core.audit.shipper import ship
from gateway_core.context import RequestRecord
from gateway_core.errors import UpstreamUnreachable
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import work_once
from gateway_core.progress import Progress
from tests.conftest import RunningSupabase

if TYPE_CHECKING:
    import httpx

    SignIn = Callable[[str], httpx.Client]


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Two stores of the test's own, above those of the apps."""
    held: dict[str, Any] = {"lower": {"a", "b"}, "upper": {"c"}, "order": [], "away": False}

    def erase(name: str) -> Callable[[UUID], dict[str, int]]:
        def erase_one(_user_id: UUID) -> dict[str, int]:
            if held["away"] and name == "lower":
                raise UpstreamUnreachable
            held["order"].append(name)
            count = len(held[name])
            held[name].clear()
            return {"things": count}

        return erase_one

    monkeypatch.setattr(holding, "_holders", dict(holding._holders))
    for name in ("lower", "upper"):
        register(
            Holder(
                name=name,
                summarise=lambda _, name=name: {name: len(held[name])},  # type: ignore[misc]
                export=lambda _, name=name: [  # type: ignore[misc]
                    Document(f"{thing}.txt", (b"thing ", thing.encode()))
                    for thing in sorted(held[name])
                ],
                count=lambda _, name=name: {"things": len(held[name])},  # type: ignore[misc]
                erase=erase(name),
            )
        )
    yield held
    Job.objects.all().delete()


def me(client: httpx.Client) -> UUID:
    return UUID(client.get("/api/v1/me").raise_for_status().json()["id"])


def test_erases_store_by_store_from_the_top_and_leaves_a_receipt_for_each(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    alice, bob = client_for("alice@example.com"), client_for("bob@example.com")
    user_id, other_id = me(alice), me(bob)
    answer = alice.delete("/api/v1/me")
    assert answer.status_code == 202
    assert alice.get("/api/v1/me").status_code == 401
    assert work_once()
    job = Job.objects.get(pk=answer.json()["id"])
    assert job.state == Job.State.DONE
    assert stores["order"] == ["upper", "lower"]
    assert job.result["receipts"]["upper"]["erased"] == {"things": 1}
    receipts = job.result["receipts"]
    assert max(receipts, key=lambda name: str(receipts[name]["at"])) == "audit"
    assert not User.objects.filter(pk=user_id).exists()
    assert User.objects.filter(pk=other_id).exists()
    assert alice.get("/api/v1/me").status_code == 401  # the token is good, and makes no user
    assert not User.objects.filter(pk=user_id).exists()
    assert bob.get("/api/v1/me").status_code == 200


def test_tells_whom_it_has_erased_when_the_account_can_begin_anew(
    client_for: SignIn, stores: dict[str, Any], settings: Any
) -> None:
    del stores
    alice = client_for("alice@example.com")
    me(alice)
    alice.delete("/api/v1/me").raise_for_status()
    until = Denial.objects.get().until
    assert until is not None

    again = client_for("alice@example.com").get("/api/v1/me")

    assert (again.status_code, again.json()["code"]) == (401, "caller_token_revoked")
    assert "Sign in again" not in again.json()["detail"]
    said = re.search(r"from (\d{4}-\d\d-\d\d \d\d:\d\d) UTC", again.json()["detail"])
    assert said is not None
    when = datetime.fromisoformat(f"{said[1]}Z")
    assert timedelta() < when - until <= timedelta(minutes=1)

    settings.ERASE_SUPABASE_USERS = True
    assert "Sign up for another" in alice.get("/api/v1/me").json()["detail"]


def test_leaves_only_a_pseudonym_in_the_trail(client_for: SignIn, stores: dict[str, Any]) -> None:
    del stores
    alice = client_for("alice@example.com")
    user_id = me(alice)
    staff = User.objects.create_superuser("root")
    services.suspend_user(user_id=user_id, by=staff)
    services.resume_user(user_id=user_id, by=staff)
    of_agent = {"agent_id": "agent-1", "user": str(user_id)}
    record_change(actor=staff, action="agent.suspend", resource="agent:1", facts=of_agent)
    alice.delete("/api/v1/me").raise_for_status()
    assert work_once()
    rows = json.dumps(list(AuditEvent.objects.values()), default=str)
    assert str(user_id) not in rows
    assert "alice@example.com" not in rows
    assert str(pseudonym_of(user_id)) in rows
    assert not Job.objects.filter(subject=str(user_id), not_before__lt=timezone.now()).exists()


def test_leaves_only_a_pseudonym_of_what_comes_to_the_trail_after_the_receipt(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    del stores
    alice = client_for("alice@example.com")
    user_id = me(alice)
    alice.delete("/api/v1/me").raise_for_status()
    assert work_once()
    assert not work_once()
    for _ in ("soon", "when the last token is over"):
        AuditEvent.objects.store([line_of(late_record(user_id))])
        assert AuditEvent.objects.filter(user_id=user_id).exists()
        job = Job.objects.filter(subject=str(user_id)).earliest("not_before")
        assert job.not_before > timezone.now()
        Job.objects.filter(pk=job.pk).update(not_before=job.created_at)
        assert work_once()
        job.refresh_from_db()
        assert job.state == Job.State.DONE
        rows = json.dumps(list(AuditEvent.objects.values()), default=str)
        assert str(user_id) not in rows
        assert "203.0.113.9" not in rows
    assert not Job.objects.filter(subject=str(user_id)).exists()


def late_record(user_id: UUID) -> RequestRecord:
    """Return the record of a request that ends after its user was erased."""
    return RequestRecord(
        request_id=f"req_{uuid4().hex}",
        trace_id=uuid4().hex,
        method="DELETE",
        path="/api/v1/me",
        client_ip="203.0.113.9",
        started=0.0,
        user_id=str(user_id),
        status=202,
    )


def test_goes_on_where_a_store_was_away(client_for: SignIn, stores: dict[str, Any]) -> None:
    alice = client_for("alice@example.com")
    me(alice)
    stores["away"] = True
    job_id = alice.delete("/api/v1/me").raise_for_status().json()["id"]
    assert work_once()
    job = Job.objects.get(pk=job_id)
    assert (job.state, job.result["store"]) == (Job.State.WAITING, "lower")
    stores["away"] = False
    Job.objects.update(not_before=job.created_at)
    assert work_once()
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    assert stores["order"] == ["upper", "lower"]


def test_is_asked_for_by_command_too(
    client_for: SignIn, stores: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    user_id = me(client_for("alice@example.com"))
    call_command("erase_user", "alice@example.com", "--dry-run")
    said = capsys.readouterr().out
    assert said.index("upper: 1 things") < said.index("lower: 2 things")
    assert "nothing was changed" in said
    assert stores["upper"]
    assert not Denial.objects.exists()
    stores["away"] = True
    with pytest.raises(CommandError, match="Stopped at lower"):
        call_command("erase_user", str(user_id))
    stores["away"] = False
    Job.objects.update(not_before="2020-01-01T00:00:00Z")
    call_command("erase_user", str(user_id))
    assert "lower: 2 things" in capsys.readouterr().out


def test_shows_how_many_stores_a_command_has_erased(
    client_for: SignIn, stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    del stores
    shown: list[tuple[str, int, int]] = []
    monkeypatch.setattr(Progress, "show", lambda _self, *progress: shown.append(progress))

    call_command("erase_user", str(me(client_for("alice@example.com"))))

    total = len(holding.holders())
    assert [done for _, done, _ in shown] == sorted(done for _, done, _ in shown)
    assert shown[-1] == ("stores", total, total)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_refuses_by_command_whom_it_can_not_erase(
    client_for: SignIn, stores: dict[str, Any], options: tuple[str, ...]
) -> None:
    user_id = me(client_for("alice@example.com"))
    for nobody in ("nobody@example.com", str(uuid4())):
        with pytest.raises(CommandError, match="Nobody has"):
            call_command("erase_user", nobody, *options)
    User.objects.filter(pk=user_id).update(is_staff=True)
    with pytest.raises(CommandError, match="Staff are not erased"):
        call_command("erase_user", str(user_id), *options)
    assert stores["upper"]
    assert not Denial.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_finds_at_supabase_who_has_never_been_here(
    supabase: RunningSupabase, stores: dict[str, Any], settings: Any
) -> None:
    settings.ERASE_SUPABASE_USERS = True
    for address in ("eve@example.com", "steve@example.com"):
        supabase.token(address)

    call_command("erase_user", "Eve@example.com")

    assert not stores["upper"]
    assert not find_users("eve@example.com")
    assert find_users("steve@example.com")


def test_asks_which_of_two_is_meant_when_an_address_has_changed_hands(
    client_for: SignIn, supabase: RunningSupabase, stores: dict[str, Any]
) -> None:
    user_id = me(client_for("alice@example.com"))
    User.objects.filter(pk=user_id).update(email="eve@example.com")
    supabase.token("eve@example.com")

    with pytest.raises(CommandError, match="Several users have"):
        call_command("erase_user", "eve@example.com")

    assert stores["upper"]


def test_gives_a_receipt_to_whom_no_token_is_good_for_any_more(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    alice = client_for("alice@example.com")
    user_id = me(alice)
    stores["away"] = True
    asked = alice.delete("/api/v1/me")
    receipt = asked.json()["receipt"]
    assert asked.headers["location"] == receipt
    del alice.headers["authorization"]

    begun = alice.get(receipt)
    assert begun.status_code == 200
    assert {store["name"]: store["erased"] for store in begun.json()["stores"]} == dict.fromkeys(
        (holder.name for holder in holding.holders()), None
    )
    assert work_once()
    waiting = {store["name"]: store for store in alice.get(receipt).json()["stores"]}
    assert waiting["upper"]["erased"] == {"things": 1}
    assert waiting["lower"] == {"name": "lower", "erased": None, "at": None}
    stores["away"] = False
    Job.objects.update(not_before="2020-01-01T00:00:00Z")
    assert work_once()

    done = alice.get(receipt)
    assert done.headers["cache-control"] == "no-store"
    told = done.json()
    assert (told["state"], told["done"]) == ("done", told["total"])
    assert all(store["at"] for store in told["stores"])
    assert not any(text in done.text for text in (str(user_id), str(pseudonym_of(user_id)), "@"))


def test_has_receipts_of_erasures_alone(client_for: SignIn, stores: dict[str, Any]) -> None:
    del stores
    alice = client_for("alice@example.com")
    job_id = alice.post("/api/v1/me/export").json()["id"]
    for other in (job_id, uuid4(), "1"):
        assert alice.get(f"/api/v1/erasures/{other}").status_code == 404


def test_erases_no_staff(client_for: SignIn) -> None:
    user_id = me(client_for("alice@example.com"))
    User.objects.filter(pk=user_id).update(is_staff=True)
    answer = client_for("alice@example.com").delete("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (403, "policy_forbidden")
    assert not Denial.objects.exists()


def test_exports_what_every_store_holds_of_the_caller(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    del stores
    alice, bob = client_for("alice@example.com"), client_for("bob@example.com")
    user_id = me(alice)
    me(bob)
    assert alice.get("/api/v1/me/export").status_code == 404
    job_id = alice.post("/api/v1/me/export").json()["id"]
    assert alice.post("/api/v1/me/export").json()["id"] == job_id
    assert alice.get("/api/v1/me/export/file").status_code == 404
    assert work_once()
    told = alice.get("/api/v1/me/export").json()
    assert (told["state"], told["done"]) == ("done", told["total"])
    answer = alice.get("/api/v1/me/export/file")
    assert answer.headers["content-length"] == str(told["result"]["bytes"])
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.read("lower/a.txt") == b"thing a"
    assert json.loads(archive.read("account/profile.json"))["id"] == str(user_id)
    assert bob.get("/api/v1/me/export/file").status_code == 404
    User.objects.filter(pk=user_id).delete()
    assert not ExportPart.objects.exists()


def test_keeps_the_newest_export_alone(client_for: SignIn, stores: dict[str, Any]) -> None:
    del stores
    alice, bob = client_for("alice@example.com"), client_for("bob@example.com")
    for client in (bob, alice, alice):
        client.post("/api/v1/me/export").raise_for_status()
        assert work_once()

    assert len(set(ExportPart.objects.values_list("job", flat=True))) == 2
    for client in (alice, bob):
        assert client.get("/api/v1/me/export/file").status_code == 200


def test_exports_the_trail_in_pieces_that_fit_into_memory(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    del stores
    user_id = me(client_for("alice@example.com"))
    user = User.objects.get(pk=user_id)
    for number in range(101):
        record_change(actor=user, action="test", resource=f"thing:{number}")

    trail = next(one for one in holding.holders() if one.name == "audit")
    (document,) = trail.export(user_id)

    assert [piece.count(b"\n") for piece in document.pieces] == [100, 1]


def test_exports_what_others_did_about_the_caller_and_not_who_they_are(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    del stores
    alice = client_for("alice@example.com")
    user_id = me(alice)
    staff = User.objects.create_superuser("root", email="root@example.com")
    services.suspend_user(user_id=user_id, by=staff)
    services.resume_user(user_id=user_id, by=staff)

    alice.post("/api/v1/me/export").raise_for_status()
    assert work_once()
    file = alice.get("/api/v1/me/export/file").raise_for_status().content
    lines = zipfile.ZipFile(io.BytesIO(file)).read("audit/events.jsonl").decode()

    by_action = {event["action"]: event for event in map(json.loads, lines.splitlines())}
    told: dict[str, Any] = {
        "action": "user.suspend",
        "resource": f"user:{user_id}",
        "status": None,
        "changes": [],
    }
    assert by_action["user.suspend"] == told | {"at": by_action["user.suspend"]["at"]}
    assert by_action["user.export"]["user_id"] == str(user_id)
    assert "root@example.com" not in lines
    assert str(staff.pk) not in lines


def test_exports_nothing_of_others_who_write_the_callers_id(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    del stores
    alice, bob = client_for("alice@example.com"), client_for("bob@example.com")
    user_id, other_id = me(alice), me(bob)
    bob.get(f"/api/v1/letta/users/{user_id}", headers={"x-request-id": f"bob-{user_id}"})
    record_change(
        actor=User.objects.get(pk=other_id),
        action="agent.create",
        resource="agent:1",
        facts={"name": f"like {user_id}"},
    )
    spool = trail.start()
    spool.hand_over()
    ship(spool)

    assert AuditEvent.objects.filter(resource=f"user:{user_id}", user_id=other_id).exists()
    events = list(persons.events_of(user_id))
    assert {event.user_id for event in events} == {user_id}


@pytest.mark.django_db
def test_finds_what_is_exported_by_index() -> None:
    with CaptureQueriesContext(connection) as queries:
        list(persons.events_of(uuid4()))
    plans = [plan_of(query["sql"]) for query in queries]

    own, changes = ("Index Cond: (user_id = ", "Index Cond: (resource = ")
    assert [own in plans[0], changes in plans[1]] == [True, True]
    assert not [plan for plan in plans if "Seq Scan" in plan or "audit_at" in plan]


def plan_of(query: str) -> str:
    """Return what PostgreSQL does with a cursor's query when tables are long."""
    select = query[query.index("SELECT") :]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {select}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_tells_what_is_held_and_lets_preferences_be_changed(
    client_for: SignIn, stores: dict[str, Any]
) -> None:
    del stores
    alice = client_for("alice@example.com")
    told = alice.get("/api/v1/me").json()
    assert told["holdings"] | {"lower": 2, "upper": 1} == told["holdings"]
    assert told["limits"]["max_api_keys"] > 0
    changed = alice.patch("/api/v1/me", json={"preferences": {"theme": "dark"}})
    assert (changed.status_code, changed.json()["email"]) == (200, "alice@example.com")
    assert alice.get("/api/v1/me").json()["preferences"] == {"theme": "dark"}
    refused = alice.patch("/api/v1/me", json={"preferences": {"theme": "x" * 5000}})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "preferences")
    for name in ("email", "display_name", "preference"):
        refused = alice.patch("/api/v1/me", json={"preferences": {}, name: "x@y.z"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, f"/{name}")
    assert alice.get("/api/v1/me").json()["preferences"] == {"theme": "dark"}


def test_keeps_its_lease_while_a_long_trail_is_searched(
    client_for: SignIn, stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    del stores
    monkeypatch.setattr(persons, "_RANGE", 2)
    alice = client_for("alice@example.com")
    user = User.objects.get(pk=me(alice))
    for number in range(5):
        record_change(actor=user, action="test", resource=f"thing:{number}")
    job_id = alice.delete("/api/v1/me").raise_for_status().json()["id"]
    leases = []
    rename = persons._rename

    def slow(user_id: UUID, ids: list[UUID]) -> None:
        leases.append(Job.objects.get(pk=job_id).lease_until)
        rename(user_id, ids)

    monkeypatch.setattr(persons, "_rename", slow)
    assert work_once()

    assert len(set(leases)) == len(leases) >= 3
    receipt = Job.objects.get(pk=job_id).result["receipts"]["audit"]
    assert receipt["erased"]["events under a pseudonym"] >= 6
    assert not AuditEvent.objects.filter(user_id=user.pk, resource__startswith="thing:").exists()
