from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
from django.test import Client

from accounts.models import User
from accounts.supabase import client as supabase_client
from gateway_core import access, cache, valkey
from gateway_core.audit.models import AuditEvent
from gateway_core.breaker import Breaker, machine
from gateway_core.breaker.store import SharedStore
from gateway_core.context import RequestRecord
from gateway_core.errors import BreakerOpen
from gateway_project.system.models import BreakerTrip
from gateway_project.upstreams import breakers
from tests.conftest import Running, RunningSupabase
from tests.second_gateway import second_gateway
from tests.timing import wait_until

BREAKER = "/api/v1/system/upstreams/{}/breaker"
AGENTS = "/api/v1/letta/v1/agents/"
CHAT = "/api/v1/llm/chat/completions"
HI = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
SignIn = Callable[[str], httpx.Client]


@pytest.fixture
def staff(client_for: SignIn) -> httpx.Client:
    somebody = client_for("staff@example.com")
    somebody.get("/api/v1/me").raise_for_status()
    User.objects.filter(email="staff@example.com").update(is_staff=True, is_superuser=True)
    return client_for("staff@example.com")


def test_staff_trip_and_reset_a_breaker(
    staff: httpx.Client, client_for: SignIn, litellm: Running
) -> None:
    tripped = staff.post(BREAKER.format("litellm"), json={"action": "trip", "reason": "new keys"})
    assert tripped.status_code == 200, tripped.text
    assert {"state": "open", "until": None, "reason": "new keys"}.items() <= tripped.json().items()
    litellm.client.delete("/_sandbox/requests")
    alice = client_for("alice@example.com")
    refused = alice.post(CHAT, json=HI)
    assert (refused.status_code, refused.json()["code"]) == (503, "upstream_circuit_open")
    assert litellm.requests("chat") == []
    assert staff.get(BREAKER.format("litellm")).json()["state"] == "open"

    assert staff.post(BREAKER.format("litellm"), json={"action": "reset"}).json()["state"] == (
        "closed"
    )
    assert alice.post(CHAT, json=HI).status_code == 200
    changes = AuditEvent.objects.filter(action__startswith="breaker.").order_by("id")
    assert [(one.action, one.resource) for one in changes] == [
        ("breaker.trip", "breaker:litellm"),
        ("breaker.reset", "breaker:litellm"),
    ]


def test_refuses_within_5_milliseconds_while_it_is_open(
    staff: httpx.Client, client_for: SignIn, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.ENABLE_RATE_LIMITING = True  # as it is where this is a promise
    staff.post(BREAKER.format("letta"), json={"action": "trip"}).raise_for_status()
    records: list[RequestRecord] = []
    monkeypatch.setattr(access, "sinks", [records.append])
    medians: list[float] = []
    # One quick round says what the gateway takes; the others, what else the machine has to do.
    while len(medians) < 10 and min(medians, default=inf) >= 5:
        somebody = client_for(f"caller-{len(medians)}@example.com")
        records.clear()
        answers = [somebody.get(AGENTS) for _ in range(50)]
        assert {answer.json()["code"] for answer in answers} == {"upstream_circuit_open"}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert all("ratelimit" in answer.headers for answer in answers)
        assert len(records) == len(answers)
        medians.append(median(record.duration_ms for record in records))
    assert min(medians) < 5, medians


def test_what_another_process_has_opened_holds_here_within_a_second(
    staff: httpx.Client, client_for: SignIn
) -> None:
    async def open_elsewhere() -> None:
        until = time.time() + 60
        await SharedStore().change(
            "letta", lambda was: machine.opened(was, until=until, reason="elsewhere")
        )
        await valkey.close()

    alice = client_for("alice@example.com")
    alice.get(AGENTS).raise_for_status()
    asyncio.run(open_elsewhere())
    wait_until(lambda: alice.get(AGENTS).status_code == 503)
    shown = staff.get("/api/v1/system/upstreams").json()
    letta = next(one for one in shown if one["name"] == "letta")
    assert {(one["name"], one["state"]) for one in letta["circuits"]} == {
        ("letta", "open"),
        ("letta-turns", "closed"),
    }


def test_what_another_process_has_tripped_and_reset_holds_here(client_for: SignIn) -> None:
    alice = client_for("alice@example.com")
    alice.get(AGENTS).raise_for_status()
    row = BreakerTrip.objects.create(breaker="letta", reason="elsewhere")
    cache.invalidate("breaker_trips", "letta")
    wait_until(lambda: alice.get(AGENTS).status_code == 503)
    row.delete()
    cache.invalidate("breaker_trips", "letta")
    wait_until(lambda: alice.get(AGENTS).status_code == 200)


def test_stays_tripped_whatever_becomes_of_valkey_and_the_process(
    staff: httpx.Client, client_for: SignIn, tmp_path: Path
) -> None:
    alice = client_for("alice@example.com")
    alice.get(AGENTS).raise_for_status()
    staff.post(BREAKER.format("letta"), json={"action": "trip"}).raise_for_status()
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.delete("gateway:breaker:letta")
    asyncio.run(_refreshed("letta"))
    refused = alice.get(AGENTS)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert "operators" in refused.json()["detail"]

    with (
        second_gateway(tmp_path, settings={"REDIS_URL": ""}) as url,
        httpx.Client(base_url=url, headers=alice.headers) as there,
    ):
        wait_until(lambda: there.get(AGENTS).status_code == 503)


async def _refreshed(name: str) -> None:
    await Breaker.refresh([breakers()[name]])
    await valkey.close()


def test_names_those_there_are_when_there_is_none_of_that_name(staff: httpx.Client) -> None:
    answer = staff.get(BREAKER.format("nothing"))
    assert answer.status_code == 404
    assert "litellm, letta, letta-turns, ams, supabase" in answer.json()["detail"]


def test_other_staff_look_and_change_nothing(staff: httpx.Client, client_for: SignIn) -> None:
    staff.post(BREAKER.format("litellm"), json={"action": "trip"}).raise_for_status()
    User.objects.filter(email="staff@example.com").update(is_superuser=False)
    member = client_for("staff@example.com")

    assert member.get(BREAKER.format("litellm")).json()["state"] == "open"
    for action in ("reset", "trip"):
        refused = member.post(BREAKER.format("litellm"), json={"action": action})
        assert (refused.status_code, refused.json()["code"]) == (403, "policy_forbidden")
        assert "superusers" in refused.json()["detail"]
    assert member.get(BREAKER.format("litellm")).json()["state"] == "open"
    assert AuditEvent.objects.filter(action__startswith="breaker.").count() == 1


def test_is_for_staff_only(client_for: SignIn) -> None:
    alice = client_for("alice@example.com")
    assert alice.post(BREAKER.format("litellm"), json={"action": "trip"}).status_code == 403
    looked = alice.get(BREAKER.format("litellm"))
    assert looked.status_code == 403
    assert looked.json()["detail"].startswith("This is for staff.")


def test_calls_of_the_control_plane_spare_an_open_upstream_too(
    staff: httpx.Client, supabase: RunningSupabase
) -> None:
    staff.post(BREAKER.format("supabase"), json={"action": "trip"}).raise_for_status()
    supabase.client.delete("/_sandbox/requests")
    with pytest.raises(BreakerOpen):
        supabase_client.find_user(UUID(int=1))
    assert supabase.requests("admin") == []


@pytest.mark.django_db(transaction=True)
def test_the_admin_shows_and_sets_them(client: Client, gateway: str) -> None:
    del gateway
    client.force_login(User.objects.create_superuser("root", "right-password"))
    page = client.get("/admin/upstreams/")
    assert page.status_code == 200
    assert b"letta-turns" in page.content

    client.post("/admin/upstreams/", {"name": "litellm", "action": "trip"})
    assert b"Reset" in client.get("/admin/upstreams/").content
    client.post("/admin/upstreams/", {"name": "litellm", "action": "reset"})
    assert b"Reset" not in client.get("/admin/upstreams/").content
    assert AuditEvent.objects.filter(action="breaker.trip").count() == 1


@pytest.mark.django_db
def test_staff_who_are_no_superusers_only_look(client: Client) -> None:
    client.force_login(User.objects.create_user("viewer", is_staff=True))
    assert b"Trip" not in client.get("/admin/upstreams/").content
    answer = client.post("/admin/upstreams/", {"name": "litellm", "action": "trip"})
    assert answer.status_code == 403
