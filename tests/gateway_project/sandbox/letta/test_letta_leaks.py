"""Where the real server forgets whose things they are. The gateway is proved against these."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from gateway_project.sandbox.letta import create_app
from gateway_project.sandbox.serving import LoopbackServer
from tests.gateway_project.sandbox.letta.conftest import AGENT, Tenant

_CODE = 'def secret(q: str) -> str:\n    """Tell."""\n    return "ALICE-CODE"\n'
_EMBEDDING = "openai/text-embedding-3-small"


def test_isolates_organizations_by_id(alice: Tenant, bob: Tenant) -> None:
    agent_id = alice.agent()
    block_id = alice.make("/v1/blocks/", label="s", value="v")["id"]
    run_id = alice.stream(agent_id, "x")[0]["run_id"]
    for path in (f"/v1/agents/{agent_id}", f"/v1/blocks/{block_id}", f"/v1/runs/{run_id}"):
        assert bob.http.get(path).status_code == 404
        assert bob.http.delete(path).status_code in {404, 500}
        assert alice.http.get(path).status_code == 200
    assert bob.send(agent_id, "x").status_code == 404
    assert bob.http.get("/v1/agents/").json() == []


def test_shares_everything_within_an_organization(
    alice: Tenant, tenant_of: Callable[..., Tenant]
) -> None:
    colleague = tenant_of("colleague", organization_id=alice.organization_id)
    agent_id = alice.agent()
    assert colleague.http.patch(f"/v1/agents/{agent_id}", json={"name": "x"}).status_code == 200


def test_lists_messages_of_every_organization(alice: Tenant, bob: Tenant) -> None:
    alice.send(alice.agent(), "ALICE-SECRET")
    listed = bob.http.get("/v1/messages/").json()
    assert "ALICE-SECRET" in {m["content"] for m in listed}


@pytest.mark.parametrize("how", ["create", "patch"])
def test_attaches_foreign_things_by_id(alice: Tenant, bob: Tenant, how: str) -> None:
    folder = alice.make("/v1/folders/", name="ALICE-FOLDER", embedding=_EMBEDDING)
    identity = alice.make(
        "/v1/identities/", identifier_key="ALICE-KEY", name="n", identity_type="user"
    )
    foreign = {
        "block_ids": [alice.make("/v1/blocks/", label="s", value="ALICE-BLOCK")["id"]],
        "folder_ids": [folder["id"]],
        "identity_ids": [identity["id"]],
    }
    if how == "create":
        agent = bob.make("/v1/agents/", **AGENT, **foreign)
    else:
        agent = bob.http.patch(f"/v1/agents/{bob.agent()}", json=foreign).json()
    assert "ALICE-BLOCK" in {block["value"] for block in agent["blocks"]}
    assert [source["name"] for source in agent["sources"]] == ["ALICE-FOLDER"]
    assert [identity["identifier_key"] for identity in agent["identities"]] == ["ALICE-KEY"]


def test_attaches_foreign_tools_by_patch_only(alice: Tenant, bob: Tenant) -> None:
    tool_id = alice.make("/v1/tools/", source_code=_CODE)["id"]
    agent_id = bob.agent()
    assert bob.http.post("/v1/agents/", json=AGENT | {"tool_ids": [tool_id]}).status_code == 400
    agent = bob.http.patch(f"/v1/agents/{agent_id}", json={"tool_ids": [tool_id]}).json()
    assert agent["tools"][0]["source_code"] == _CODE
    assert bob.http.get(f"/v1/agents/{agent_id}/tools").json() == []


def test_writes_through_to_a_foreign_block(alice: Tenant, bob: Tenant) -> None:
    block_id = alice.make("/v1/blocks/", label="s", value="v")["id"]
    agent_id = bob.agent(block_ids=[block_id])
    path = f"/v1/agents/{agent_id}/core-memory/blocks/s"
    assert bob.http.patch(path, json={"value": "HACKED"}).status_code == 200
    assert alice.http.get(f"/v1/blocks/{block_id}").json()["value"] == "HACKED"


def test_checks_the_attach_routes(alice: Tenant, bob: Tenant) -> None:
    block = alice.make("/v1/blocks/", label="s", value="v")["id"]
    folder = alice.make("/v1/folders/", name="f", embedding=_EMBEDDING)["id"]
    tool = alice.make("/v1/tools/", source_code=_CODE)["id"]
    archive = alice.make("/v1/archives/", name="a", embedding=_EMBEDDING)["id"]
    agent_id = bob.agent()
    for path in (
        f"core-memory/blocks/attach/{block}",
        f"folders/attach/{folder}",
        f"sources/attach/{folder}",
        f"tools/attach/{tool}",
        f"archives/attach/{archive}",
    ):
        assert bob.http.patch(f"/v1/agents/{agent_id}/{path}").status_code == 404


def test_answers_foreign_ids_with_empty_lists_here_and_there(alice: Tenant, bob: Tenant) -> None:
    agent_id = alice.agent()
    conversation_id = alice.make(f"/v1/conversations/?agent_id={agent_id}")["id"]
    block_id = alice.make("/v1/blocks/", label="s", value="v")["id"]
    folder_id = alice.make("/v1/folders/", name="f", embedding=_EMBEDDING)["id"]
    for path in (
        f"agents/{agent_id}/archival-memory",
        f"agents/{agent_id}/groups",
        f"blocks/{block_id}/agents",
        f"conversations/{conversation_id}/messages",
        f"folders/{folder_id}/files",
        f"folders/{folder_id}/passages",
    ):
        answer = bob.http.get(f"/v1/{path}")
        assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("cursor", ["after", "before"])
def test_tells_by_a_page_when_a_foreign_thing_was_made(
    alice: Tenant, bob: Tenant, cursor: str, order: str
) -> None:
    first = bob.agent()
    foreign = alice.agent()
    last = bob.agent()

    page = bob.http.get("/v1/agents/", params={cursor: foreign, "order": order}).json()

    is_later = (cursor == "after") is (order == "asc")
    assert [agent["id"] for agent in page] == [last if is_later else first]


def test_tells_the_last_run_of_a_foreign_agent(alice: Tenant, bob: Tenant) -> None:
    agent_id = alice.agent()
    run_id = alice.stream(agent_id, "x")[0]["run_id"]
    answer = bob.http.post(f"/v1/agents/{agent_id}/messages/cancel", json={})
    assert answer.json() == {run_id: "failed"}


def test_tells_all_about_the_actor_in_a_404(alice: Tenant) -> None:
    answer = alice.http.get("/v1/runs/run-00000000-0000-4000-8000-00000000dead")
    assert answer.status_code == 404
    assert alice.user_id in answer.json()["detail"]
    assert alice.organization_id in answer.json()["detail"]


def test_shows_keys_and_secrets_in_clear(alice: Tenant) -> None:
    alice.make("/v1/providers/", name="p", provider_type="openai", api_key="sk-alice")
    (provider,) = alice.http.get("/v1/providers/").json()
    assert provider["api_key_enc"] == "sk-alice"
    agent = alice.make("/v1/agents/", **AGENT, secrets={"TOKEN": "hush"})
    assert [secret["value"] for secret in agent["secrets"]] == ["hush"]


def test_ignores_actor_id_in_the_body(alice: Tenant, bob: Tenant) -> None:
    agent_id = bob.agent(actor_id=alice.user_id)
    assert alice.http.get(f"/v1/agents/{agent_id}").status_code == 404


def test_obeys_the_first_of_two_users(alice: Tenant, bob: Tenant, server: httpx.Client) -> None:
    agent_id = alice.agent()
    headers = [("user_id", alice.user_id), ("user_id", bob.user_id)]
    assert server.get(f"/v1/agents/{agent_id}", headers=headers).status_code == 200
    assert server.get(f"/v1/agents/{agent_id}", headers=headers[::-1]).status_code == 404


@pytest.mark.parametrize(
    ("user_id", "status", "detail"),
    [
        ("", 404, "Non-default Actor ID is required"),
        ("user-00000000-0000-4000-8000-000000000000", 404, "Non-default Actor ID is required"),
        ("user-00000000-0000-4000-8000-0000000000ff", 404, "User not found with id="),
        ("bob", 400, "Invalid user ID format: bob"),
    ],
)
def test_refuses_the_default_actor(
    server: httpx.Client, user_id: str, status: int, detail: str
) -> None:
    headers = {"user_id": user_id} if user_id else {}
    answer = server.get("/v1/agents/", headers=headers)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("user_id", ["", "user-00000000-0000-4000-8000-0000000000ff"])
def test_becomes_the_default_actor_when_allowed(user_id: str) -> None:
    app = create_app(password="p", allow_default_actor=True)
    headers = {"authorization": "Bearer p"}
    with (
        LoopbackServer().start(app) as server,
        httpx.Client(base_url=server.url, headers=headers) as client,
    ):
        client.post("/v1/blocks/", json={"label": "of the default user"})
        headers = {"user_id": user_id} if user_id else {}
        (block,) = client.get("/v1/blocks/", headers=headers).json()
    assert block["label"] == "of the default user"


def test_has_one_organization_for_all_when_it_is_the_cloud() -> None:
    app = create_app(password="p", cloud=True)
    headers = {"authorization": "Bearer p"}
    with (
        LoopbackServer().start(app) as server,
        httpx.Client(base_url=server.url, headers=headers) as client,
    ):
        agent = client.post("/v1/agents/", json=AGENT).json()
        listed = client.get("/v1/agents/", headers={"user_id": "user-anybody"}).json()

    assert [one["id"] for one in listed] == [agent["id"]]


def test_runs_code_that_callers_bring(alice: Tenant, server: httpx.Client) -> None:
    alice.make("/v1/tools/run", source_code=_CODE, args={})
    tool_id = alice.make("/v1/tools/", source_code=_CODE)["id"]
    agent_id = alice.agent(tool_ids=[tool_id])
    alice.send(agent_id, 'TOOL:secret {"q": "x"}')
    exported = alice.http.get(f"/v1/agents/{agent_id}/export").content
    files = {"file": ("evil.af", exported.replace(b"ALICE-CODE", b"EVIL-CODE"))}
    assert alice.http.post("/v1/agents/import", files=files).status_code == 200
    executed = server.get("/_sandbox/executed").json()
    assert [run["why"] for run in executed] == ["tools/run", "tool secret", "import"]
    assert "EVIL-CODE" in executed[-1]["source_code"]


def test_deletes_an_organization_with_all_that_it_owns(
    alice: Tenant, bob: Tenant, server: httpx.Client
) -> None:
    alice.send(alice.agent(), "ALICE-SECRET")
    bob.agent()
    query = {"org_id": alice.organization_id}
    assert server.delete("/v1/admin/orgs/", params=query).json()["id"] == alice.organization_id
    assert alice.http.get("/v1/agents/").status_code == 404
    assert all("ALICE" not in str(m) for m in bob.http.get("/v1/messages/").json())
    assert len(bob.http.get("/v1/agents/").json()) == 1
    assert server.delete("/v1/admin/orgs/", params=query).status_code == 404
