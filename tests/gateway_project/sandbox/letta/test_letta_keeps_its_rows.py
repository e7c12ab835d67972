from __future__ import annotations

from pathlib import Path

import httpx

from gateway_project.sandbox.letta import create_app
from gateway_project.sandbox.letta.store import Store
from gateway_project.sandbox.serving import LoopbackServer

_HEADERS = {"authorization": "Bearer p"}


def _serve(path: Path) -> LoopbackServer:
    app = create_app(password="p", allow_default_actor=True, state_path=path)
    return LoopbackServer().start(app)


def test_keeps_rows_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "letta.json"
    with _serve(path) as server, httpx.Client(base_url=server.url, headers=_HEADERS) as client:
        client.post("/v1/tools/add-base-tools").raise_for_status()
        agent = client.post("/v1/agents/", json={"model": "openai-proxy/stub-chat"}).json()
        client.post(f"/v1/agents/{agent['id']}/messages", json={"input": "x"}).raise_for_status()
    with _serve(path) as server, httpx.Client(base_url=server.url, headers=_HEADERS) as client:
        assert client.get(f"/v1/agents/{agent['id']}").json()["name"] == agent["name"]
        path_of_messages = f"/v1/agents/{agent['id']}/messages"
        client.post(path_of_messages, json={"input": "y"}).raise_for_status()
        assert len(client.get(path_of_messages).json()) == 5


def test_fails_runs_that_a_restart_has_cut() -> None:
    store = Store()
    runs = {status: {"id": status, "status": status} for status in ("running", "completed")}
    store.load({"runs": runs})
    assert [run["status"] for run in runs.values()] == ["failed", "completed"]
