from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING
from uuid import UUID

from accounts.models import User
from gateway_core.jobs.models import Job
from gateway_core.jobs.services import work_once
from letta_proxy.models import LettaAccount, OwnedResource
from llm_proxy.models import ApiKey, VirtualKey

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.conftest import Running

    SignIn = Callable[[str], httpx.Client]


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
    for secret in (b"gwk_", b"gws_", b"sk-"):
        assert secret not in everything.replace(b'"hint":"gwk_', b"")


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
