"""Statuses and bodies of what goes wrong, and the paths that lead to it."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest
from starlette.datastructures import QueryParams

from gateway_project.sandbox.letta.paging import page
from tests.conftest import Running
from tests.gateway_project.sandbox.letta.conftest import AGENT, Tenant
from tests.timing import wait_until

_DEAD = "00000000-0000-4000-8000-00000000dead"


@pytest.mark.parametrize("path", ["/v1/health/", "/v1/ready/", "/latest/health/"])
def test_is_healthy_without_a_password(letta: Running, path: str) -> None:
    answer = letta.client.get(path)
    assert answer.json() == {"version": "0.16.8", "status": "ok"}


@pytest.mark.parametrize("path", ["/v1/agents/", "/v1/admin/orgs/", "/openapi.json", "/v1/nope"])
def test_wants_its_password(letta: Running, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = letta.client.get(path, headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})


def test_takes_its_password_in_a_header_of_its_own(letta: Running, password: str) -> None:
    headers = {"x-bare-password": f"password {password}"}
    assert letta.client.get("/v1/admin/orgs/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "location"),
    [("/v1/agents?limit=1", "/v1/agents/?limit=1"), (f"/v1/agents/agent-{_DEAD}/", None)],
)
def test_redirects_the_wrong_slash_to_the_host_it_was_asked_by(
    alice: Tenant, path: str, location: str | None
) -> None:
    answer = alice.http.get(path, headers={"host": "gw.example.com"})
    assert answer.status_code == 307
    assert answer.headers["location"] == f"http://gw.example.com{location or path.rstrip('/')}"


def test_decodes_slashes_before_it_routes(alice: Tenant) -> None:
    agent_id = alice.agent()
    answer = alice.http.get(f"/v1/agents/{agent_id}%2Fmessages")
    assert answer.json()[0]["message_type"] == "system_message"


def test_answers_under_latest_too(alice: Tenant) -> None:
    agent_id = alice.agent()
    assert alice.http.get(f"/latest/agents/{agent_id}").json()["id"] == agent_id


def test_refuses_head_and_unknown_methods_and_paths(alice: Tenant) -> None:
    path = f"/v1/agents/{alice.agent()}"
    assert alice.http.head(path).status_code == 405
    assert alice.http.put(path).json() == {"detail": "Method Not Allowed"}
    for unknown in ("/v1/nope", "//v1/agents/", "/V1/agents/"):
        answer = alice.http.get(alice.http.base_url.join(unknown) if unknown[1] != "/" else unknown)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_tells_malformed_ids_apart_from_absent_ones(alice: Tenant) -> None:
    absent = alice.http.get(f"/v1/agents/agent-{_DEAD}")
    assert absent.json() == {"detail": f"Agent with ID agent-{_DEAD} not found"}
    malformed = alice.http.get("/v1/agents/not-an-id")
    assert malformed.status_code == 422
    assert malformed.json()["trace_id"] == ""
    assert malformed.json()["detail"].startswith("[{'type': 'string_pattern_mismatch', 'loc': (")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"name":', "json_invalid"),
        (b"[1]", "model_attributes_type"),
        (b'{"name": 1}', "string_type"),
        (b'{"tags": "x"}', "list_type"),
    ],
)
def test_refuses_bodies_that_do_not_validate(alice: Tenant, content: bytes, detail: str) -> None:
    answer = alice.http.post("/v1/agents/", content=content)
    assert answer.status_code == 422
    assert f"'type': '{detail}'" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "x"},
        {"messages": []},
        {"messages": [{"content": "x"}]},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"input": "x", "messages": [{"role": "user", "content": "x"}]},
    ],
)
def test_refuses_messages_that_say_nothing(alice: Tenant, body: dict[str, Any]) -> None:
    answer = alice.http.post(f"/v1/agents/{alice.agent()}/messages", json=body)
    assert answer.status_code == 422


def test_streams_from_the_plain_route_for_new_sdks_only(alice: Tenant) -> None:
    path = f"/v1/agents/{alice.agent()}/messages"
    body = {"input": "x", "streaming": True}
    old = alice.http.post(path, json=body)
    assert old.json() == {"detail": "streaming=true is only supported for SDK v1.0+ clients."}
    new = alice.http.post(path, json=body, headers={"x-stainless-package-version": "1.12.1"})
    assert new.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"model": "openai/none"}, 404),
        ({"embedding": "openai/none"}, 400),
        ({"name": "a.b/c:1"}, 500),
        ({"model": None}, 400),
        ({"tools": ["none"]}, 400),
    ],
)
def test_refuses_agents_that_can_not_be(alice: Tenant, given: dict[str, Any], status: int) -> None:
    answer = alice.http.post("/v1/agents/", json=AGENT | given)
    assert answer.status_code == status
    assert "detail" in answer.json()


def test_makes_no_agents_before_the_base_tools_are_there(
    server: httpx.Client, alice: Tenant
) -> None:
    organization = server.post("/v1/admin/orgs/", json={"name": "bare"}).json()
    wish = {"name": "u", "organization_id": organization["id"]}
    headers = {"user_id": server.post("/v1/admin/users/", json=wish).json()["id"]}
    answer = server.post("/v1/agents/", json=AGENT, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Tools not found by name")
    server.get("/v1/tools/", headers=headers)
    assert server.post("/v1/agents/", json=AGENT, headers=headers).status_code == 200
    assert alice.http.get("/v1/agents/").json() == []


@pytest.mark.parametrize("members", [{"id": f"user-{_DEAD}"}, {"extra": 1}])
def test_lets_nobody_choose_ids(
    server: httpx.Client, alice: Tenant, members: dict[str, object]
) -> None:
    body = {"name": "x", "organization_id": alice.organization_id, **members}
    answer = server.post("/v1/admin/users/", json=body)
    assert answer.status_code == 422
    assert "extra_forbidden" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("directive", "status", "kind"),
    [
        ("ERR:401", 401, "llm_authentication"),
        ("ERR:402", 402, "llm_insufficient_credits"),
        ("ERR:429", 429, "llm_rate_limit"),
        ("ERR:503", 500, "llm_error"),
    ],
)
def test_passes_model_errors_on(alice: Tenant, directive: str, status: int, kind: str) -> None:
    answer = alice.send(alice.agent(), directive)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == kind
    assert "retry-after" not in answer.headers


def test_takes_a_dropped_model_for_an_end(alice: Tenant) -> None:
    answer = alice.send(alice.agent(), "DROP").json()
    assert answer["messages"] == []
    assert answer["stop_reason"]["stop_reason"] == "end_turn"


def test_shows_the_sql_of_a_duplicate(alice: Tenant) -> None:
    body = {"name": "f", "embedding": AGENT["embedding"]}
    alice.make("/v1/folders/", **body)
    answer = alice.http.post("/v1/folders/", json=body)
    assert answer.status_code == 409
    assert "[SQL: INSERT INTO" in answer.json()["detail"]


def test_drops_the_connection_after_an_unknown_error(alice: Tenant) -> None:
    path = f"/v1/runs/run-{_DEAD}"
    answer = alice.http.delete(path)
    assert (answer.status_code, answer.json()) == (500, {"detail": "An unknown error occurred"})
    assert answer.headers["connection"] == "close"


def test_counts_uploads_without_keeping_them(alice: Tenant, server: httpx.Client) -> None:
    folder_id = alice.make("/v1/folders/", name="f", embedding=AGENT["embedding"])["id"]
    content = bytes(range(256)) * 4096 * 9
    files = {"file": ("big.txt", content, "text/plain")}
    made = alice.http.post(f"/v1/folders/{folder_id}/upload", files=files).json()
    assert made["file_size"] == len(content)
    digest = hashlib.sha256(content).hexdigest()
    assert server.get("/_sandbox/uploads").json() == [
        {"id": made["id"], "size_bytes": len(content), "sha256": digest}
    ]


@pytest.mark.parametrize(
    ("files", "query", "status"),
    [
        ({"file": ("a.png", b"x", "image/png")}, "", 415),
        ({"other": ("a.txt", b"x")}, "", 422),
        ({"file": ("a.txt", b"x")}, "duplicate_handling=error", 400),
    ],
)
def test_refuses_uploads(alice: Tenant, files: Any, query: str, status: int) -> None:
    folder_id = alice.make("/v1/folders/", name="f", embedding=AGENT["embedding"])["id"]
    path = f"/v1/folders/{folder_id}/upload"
    alice.http.post(path, files={"file": ("a.txt", b"x")}).raise_for_status()
    assert alice.http.post(f"{path}?{query}", files=files).status_code == status


def test_numbers_files_of_one_name_and_reads_them_back(alice: Tenant) -> None:
    folder_id = alice.make("/v1/sources/", name="f", embedding=AGENT["embedding"])["id"]
    path = f"/v1/sources/{folder_id}"
    for _ in range(2):
        alice.http.post(f"{path}/upload", files={"file": ("a.txt", b"hi")}).raise_for_status()
    wait_until(
        lambda: (
            {f["processing_status"] for f in alice.http.get(f"{path}/files").json()}
            == {"completed"}
        )
    )
    files = alice.http.get(f"{path}/files?include_content=true").json()
    assert [(f["file_name"], f["content"]) for f in files] == [("a_(1).txt", "hi"), ("a.txt", "hi")]


def test_keeps_messages_that_a_reset_takes_out_of_sight(alice: Tenant) -> None:
    agent_id = alice.agent()
    alice.send(agent_id, "x")
    alice.http.patch(f"/v1/agents/{agent_id}/reset-messages", json={})
    assert len(alice.http.get(f"/v1/agents/{agent_id}").json()["message_ids"]) == 1
    assert len(alice.http.get(f"/v1/agents/{agent_id}/messages").json()) == 4


def test_shows_the_prompt_in_a_steps_trace(alice: Tenant, bob: Tenant) -> None:
    agent_id = alice.agent()
    alice.send(agent_id, "PROMPT")
    step_id = alice.http.get(f"/v1/agents/{agent_id}/messages").json()[-1]["step_id"]
    path = f"/v1/steps/{step_id}/trace"
    assert "PROMPT" in alice.http.get(path).text
    assert bob.http.get(path).json() is None
    assert alice.http.get("/v1/steps/?order=desc").status_code == 400


def test_obeys_injected_faults_and_resets(alice: Tenant, letta: Running) -> None:
    letta.fault("^/v1/agents/$", status=503, body={"detail": "down"}, times=1)
    assert alice.http.get("/v1/agents/").json() == {"detail": "down"}
    assert alice.http.get("/v1/agents/").status_code == 200
    assert letta.requests("^/v1/agents/$")[-1]["headers"]["user_id"] == alice.user_id
    letta.reset()
    assert alice.http.get("/v1/agents/").status_code == 404


@pytest.mark.parametrize(
    ("cursors", "order", "after", "before"),
    [
        ("position", "desc", "ba", "ed"),
        ("position", "asc", "de", "ab"),
        ("listed", "desc", "ed", "ba"),
        ("listed", "asc", "ab", "de"),
        ("time", "desc", "ed", "ba"),
        ("time", "asc", "de", "ab"),
        ("after", "desc", "ba", "edcba"),
        ("after", "asc", "de", "abcde"),
    ],
)
def test_pages_differently_from_list_to_list(
    cursors: Any, order: str, after: str, before: str
) -> None:
    rows = [{"id": name} for name in "abcde"]

    def listed(**query: str) -> str:
        asked = QueryParams({"order": order, **query})
        return "".join(row["id"] for row in page(rows, asked, cursors=cursors))

    assert (listed(after="c"), listed(before="c")) == (after, before)
    assert listed(after="unknown") == ("abcde" if order == "asc" else "edcba")
    assert len(listed(limit="2")) == 2
