from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from accounts import services
from accounts.holdings import holder as holding
from accounts.holdings import own
from accounts.holdings.holder import Document, Holder, register
from accounts.models import Denial, ExportPart, User
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.persons import pseudonym_of
from gateway_core.audit.services import record_change
from gateway_core.errors import UpstreamUnreachable
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import work_once

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
                    Document(f"{thing}.txt", thing.encode()) for thing in sorted(held[name])
                ],
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
    assert not Job.objects.filter(subject=str(user_id)).exists()


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
    assert "would be erased in: upper, lower" in capsys.readouterr().out
    assert stores["upper"]
    stores["away"] = True
    with pytest.raises(CommandError, match="Stopped at lower"):
        call_command("erase_user", str(user_id))
    stores["away"] = False
    Job.objects.update(not_before="2020-01-01T00:00:00Z")
    call_command("erase_user", str(user_id))
    assert "lower: 2 things" in capsys.readouterr().out
    with pytest.raises(CommandError, match="Nobody has"):
        call_command("erase_user", "alice@example.com")


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
    assert archive.read("lower/a.txt") == b"a"
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


def test_exports_the_trail_in_files_that_fit_into_memory(
    client_for: SignIn, stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    del stores
    monkeypatch.setattr(own, "_EVENTS_IN_FILE", 2)
    user_id = me(client_for("alice@example.com"))
    user = User.objects.get(pk=user_id)
    for number in range(3):
        record_change(actor=user, action="test", resource=f"thing:{number}")

    trail = next(one for one in holding.holders() if one.name == "audit")
    files = {one.path: one.content.count(b"\n") for one in trail.export(user_id)}

    assert files == {"events-0001.jsonl": 2, "events-0002.jsonl": 1}


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
