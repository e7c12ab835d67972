from __future__ import annotations

import io
import json
import re
import zipfile
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.core.management import call_command

from accounts.holdings.holder import holders
from accounts.models import Plan, User, UserPlan
from accounts.plans.services import save_user_plan
from agents.models import Agent
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import work_once
from gateway_project.sandbox.supabase import SECRET_KEY
from letta_proxy import exporting
from letta_proxy.models import LettaAccount, OwnedResource
from llm_proxy.models import ApiKey, VirtualKey
from tests.agents.conftest import EMBEDDING, agent_file
from tests.agents.upgrades.conftest import in_a_process, next_file
from tests.conftest import RunningSupabase
from tests.timing import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from tests.conftest import Running

    SignIn = Callable[[str], httpx.Client]


TOOL_ENV = {"EXA_API_KEY": "{{search_key}}"}


def settle(client: httpx.Client) -> tuple[UUID, str]:
    """Have something of a user everywhere; return the user's id and an agent's."""
    user_id = UUID(client.get("/api/v1/me").json()["id"])
    wish = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    client.post("/api/v1/llm/chat/completions", json=wish).raise_for_status()
    client.post(
        "/api/v1/llm/keys", json={"name": "my server", "scopes": ["llm"]}
    ).raise_for_status()
    agent = client.post(
        "/api/v1/letta/agents/",
        json={
            "name": "helper",
            "model": "openai-proxy/stub-chat",
            "embedding": "openai/text-embedding-3-small",
            "memory_blocks": [{"label": "human", "value": "likes tea"}],
        },
    )
    assert agent.status_code == 200, agent.text
    agent_id = agent.json()["id"]
    client.post(
        f"/api/v1/letta/agents/{agent_id}/messages",
        json={"messages": [{"role": "user", "content": "remember me"}]},
        timeout=30,
    ).raise_for_status()
    return user_id, agent_id


class Asking:
    """Asks the gateway for what is there, in the name of a user."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(method, f"/api/v1{path}", json=body or None, timeout=30)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


def exported(client: httpx.Client) -> dict[str, bytes]:
    """Return the files of a new export."""
    client.post("/api/v1/me/export").raise_for_status()
    assert in_a_process(work_once)
    told = client.get("/api/v1/me/export").json()
    assert told["state"] == "done", told
    file = client.get("/api/v1/me/export/file").raise_for_status().content
    archive = zipfile.ZipFile(io.BytesIO(file))
    return {name: archive.read(name) for name in archive.namelist()}


def read(files: Mapping[str, bytes], name: str) -> Any:
    return json.loads(files[name])


def lines(files: Mapping[str, bytes], name: str, member: str) -> list[Any]:
    return [json.loads(line)[member] for line in files[name].splitlines()]


def assert_shows_no_secret(content: bytes) -> None:
    shown = re.sub(rb'"hint": *"gwk_', b"", content)
    for secret in (b"gwk_", b"gws_", b"sk-"):
        assert secret not in shown


def test_puts_what_every_service_holds_into_the_export(client_for: SignIn) -> None:
    alice, bob = client_for("alice@example.com"), client_for("bob@example.com")
    _, agent_id = settle(alice)
    _, bobs_agent = settle(bob)
    alice.post("/api/v1/me/export").raise_for_status()
    assert work_once()
    told = alice.get("/api/v1/me/export").json()
    assert told["state"] == "done", told
    file = alice.get("/api/v1/me/export/file").raise_for_status().content
    archive = zipfile.ZipFile(io.BytesIO(file))
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert json.loads(archive.read(f"letta/agents/{agent_id}/agent.json"))["name"] == "helper"
    assert b"remember me" in archive.read(f"letta/agents/{agent_id}/messages.jsonl")
    assert b"my server" in archive.read("litellm/api_keys.json")
    assert bobs_agent.encode() not in everything
    assert_shows_no_secret(everything)


def test_exports_all_that_letta_holds_however_long_its_lists_are(
    client_for: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_PAGE", 2)
    alice = client_for("alice@example.com")
    _, agent_id = settle(alice)
    ask = Asking(alice)
    loose = ask("POST", "/letta/blocks", label="human", value="Kept in a loose block.")["id"]
    talk = ask("POST", f"/letta/conversations?agent_id={agent_id}", summary="Of a talk.")["id"]
    said = [{"role": "user", "content": "Said in a talk."}]
    ask("POST", f"/letta/conversations/{talk}/messages", messages=said, streaming=False)
    archive = ask("POST", "/letta/archives", name="Of an archive", embedding=EMBEDDING)["id"]
    for number in range(5):
        text = f"Put into an archive, {number}."
        ask("POST", f"/letta/archives/{archive}/passages", text=text, metadata={"nr": number})
    attached = ask("POST", "/letta/archives", name="Of an agent", embedding=EMBEDDING)["id"]
    ask("PATCH", f"/letta/agents/{agent_id}/archives/attach/{attached}")
    for number in range(3):
        text = f"Remembered by an agent, {number}."
        ask("POST", f"/letta/archives/{attached}/passages", text=text)
    folder = ask("POST", "/letta/folders", name="Of a folder", embedding=EMBEDDING)["id"]
    for number in range(3):
        file = {"file": (f"file{number}.txt", f"Read in a file, {number}.".encode(), "text/plain")}
        alice.post(f"/api/v1/letta/folders/{folder}/upload", files=file).raise_for_status()
    wait_until(lambda: len(ask("GET", f"/letta/folders/{folder}/passages")) == 3)

    files = exported(alice)

    assert read(files, f"letta/blocks/{loose}/block.json")["value"] == "Kept in a loose block."
    assert read(files, f"letta/conversations/{talk}/conversation.json")["summary"] == "Of a talk."
    assert b"Said in a talk." in files[f"letta/conversations/{talk}/messages.jsonl"]
    assert read(files, f"letta/archives/{archive}/archive.json")["name"] == "Of an archive"
    kept = f"letta/archives/{archive}/passages.jsonl"
    assert lines(files, kept, "text") == [f"Put into an archive, {number}." for number in range(5)]
    assert lines(files, kept, "metadata")[1:] == [{"nr": number} for number in range(1, 5)]
    remembered = lines(files, f"letta/agents/{agent_id}/passages.jsonl", "text")
    assert remembered == [f"Remembered by an agent, {number}." for number in range(3)]
    assert f"letta/archives/{attached}/passages.jsonl" not in files
    assert read(files, f"letta/folders/{folder}/folder.json")["name"] == "Of a folder"
    names = lines(files, f"letta/folders/{folder}/files.jsonl", "file_name")
    assert names == [f"file{number}.txt" for number in range(3)]
    filed = lines(files, f"letta/folders/{folder}/passages.jsonl", "text")
    assert sorted(filed) == [f"Read in a file, {number}." for number in range(3)]


def test_exports_what_agents_went_through_and_what_other_services_know(
    client_for: SignIn, supabase: RunningSupabase
) -> None:
    alice = client_for("alice@example.com")
    user_id, _ = settle(alice)
    ask = Asking(alice)
    published = ask("POST", "/ams/templates/publish", **agent_file(tool_env=TOOL_ENV))
    wish = {"template_id": published["template_id"], "version": "1.0.0"}
    variables = {"user_name": "Built from Ann", "search_key": "exa-secret"}
    made = ask("POST", "/agents", **wish, variables=variables)["agent"]["id"]
    ask("POST", "/templates/publish", **next_file(tool_env=TOOL_ENV))
    ask("POST", f"/agents/{made}/upgrade", dry_run=False)
    plan = Plan.objects.create(name="Plan of one")
    save_user_plan(user_plan=UserPlan(user_id=user_id, plan=plan, max_agents=12), by=None)
    note = {"user_metadata": {"full_name": "Known to Supabase"}}
    admin = {"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"}
    path = f"/auth/v1/admin/users/{user_id}"
    supabase.client.put(path, json=note, headers=admin).raise_for_status()

    files = exported(alice)

    row = Agent.objects.get(agent_id=made).pk
    assert "Built from Ann" in json.dumps(read(files, f"agents/{row}.json")["built_from"])
    (before,) = lines(files, f"agents/{row}.migrations.jsonl", "agent_before")
    assert before["system"].startswith("You help Built from Ann.")
    assert read(files, "account/plan.json")["plan"] == "Plan of one"
    assert read(files, "account/plan.json")["own_limits"]["max_agents"] == 12
    assert read(files, "litellm/user.json")["user_id"] == str(user_id)
    assert str(user_id) in read(files, "litellm/keys.json")[0]["key_alias"]
    assert read(files, "supabase/user.json")["user_metadata"]["full_name"] == "Known to Supabase"
    everything = b"".join(files.values())
    assert_shows_no_secret(everything)
    assert b"exa-secret" not in everything


def test_exports_passages_of_one_time_as_far_as_letta_shows_them(
    client_for: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_PAGE", 2)
    alice = client_for("alice@example.com")
    alice.get("/api/v1/me").raise_for_status()
    ask = Asking(alice)
    archive = ask("POST", "/letta/archives", name="old", embedding=EMBEDDING)["id"]
    times = ["2026-01-01T00:00:00+00:00", *["2026-01-02T00:00:00+00:00"] * 3]
    for number, time in enumerate([*times, "2026-01-03T00:00:00+00:00"]):
        ask("POST", f"/letta/archives/{archive}/passages", text=f"{number}", created_at=time)

    lines = exported(alice)[f"letta/archives/{archive}/passages.jsonl"].splitlines()

    told = [json.loads(line) for line in lines]
    texts = [one["text"] for one in told if "text" in one]
    assert (texts[0], texts[-1], len(texts)) == ("0", "4", 4)
    assert [one["note"] for one in told if "note" in one] == [
        "Letta shows 2 passages of 2026-01-02T00:00:00+00:00, and no more if there are."
    ]


def test_counts_before_what_it_says_to_have_erased_after(
    client_for: SignIn, settings: Any, supabase: RunningSupabase, capsys: pytest.CaptureFixture[str]
) -> None:
    del supabase
    settings.ERASE_SUPABASE_USERS = True
    alice = client_for("alice@example.com")
    user_id, _ = settle(alice)
    Asking(alice)("POST", "/templates/publish", **agent_file())

    in_a_process(call_command, "erase_user", str(user_id), "--dry-run")
    before = counted(capsys.readouterr().out)
    in_a_process(call_command, "erase_user", str(user_id))
    after = counted(capsys.readouterr().out)

    assert before.keys() == after.keys() == {holder.name for holder in holders()}
    of_others = before.pop("audit"), after.pop("audit")  # more is recorded meanwhile
    assert all(of_others)
    assert {name: counts <= after[name] for name, counts in before.items()} == dict.fromkeys(
        before, True
    )
    assert all(before.values())


def counted(said: str) -> dict[str, set[str]]:
    """Return what a command says of each store."""
    lines = (line.partition(": ") for line in said.splitlines())
    return {store: set(counts.split(", ")) for store, colon, counts in lines if colon}


def test_erases_a_user_from_every_service_and_nobody_else(
    client_for: SignIn, letta: Running, litellm: Running
) -> None:
    alice, bob = client_for("alice@example.com"), client_for("bob@example.com")
    user_id, agent_id = settle(alice)
    bobs_id, bobs_agent = settle(bob)
    organization_id = LettaAccount.objects.get(pk=user_id).organization_id
    job_id = alice.delete("/api/v1/me").raise_for_status().json()["id"]
    assert work_once()
    job = Job.objects.get(pk=job_id)
    assert job.state == Job.State.DONE, job.error
    assert job.result["receipts"]["letta"]["erased"]["organization"] == 1
    assert job.result["receipts"]["litellm"]["erased"]["virtual keys"] == 1
    asked = [request["path"] for request in letta.requests("/v1/admin/orgs")]
    assert asked
    master = {"authorization": f"Bearer {litellm.credentials['LITELLM_MASTER_KEY']}"}
    for one, status in ((user_id, 404), (bobs_id, 200)):
        answer = litellm.client.get("/user/info", params={"user_id": str(one)}, headers=master)
        assert answer.status_code == status
    for model in (User, LettaAccount):
        assert set(model.objects.values_list("pk", flat=True)) >= {bobs_id}
        assert not model.objects.filter(pk=user_id).exists()
    for owned in (OwnedResource, ApiKey, VirtualKey):
        assert not owned.objects.filter(user_id=user_id).exists()
        assert owned.objects.filter(user_id=bobs_id).exists()
    assert not LettaAccount.objects.filter(organization_id=organization_id).exists()
    assert bob.get(f"/api/v1/letta/agents/{bobs_agent}").status_code == 200
    assert bob.get(f"/api/v1/letta/agents/{agent_id}").status_code == 404
