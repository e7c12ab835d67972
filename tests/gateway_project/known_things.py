"""One of each thing that the API can be asked about, all of one user."""

from __future__ import annotations

from typing import Any, Final

import httpx

from accounts.models import User
from gateway_core.jobs.services import work_once
from tests.agents.conftest import EMBEDDING, MODEL, agent_file
from tests.agents.upgrades.conftest import in_a_process, next_file
from tests.gateway_project.described_api import Known

_HELLO: Final = [{"role": "user", "content": "Hello"}]


class Maker:
    """Makes them through the gateway, for the user whose client it is given."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def everything(self) -> Known:
        """Make them, and return by the beginning of a path how they are named there.

        The user becomes a superuser, so that nothing is refused for that alone.
        """
        self._ask("GET", "/me")
        User.objects.update(is_staff=True, is_superuser=True)
        self._ask("POST", "/me/export")
        assert in_a_process(work_once)
        return {**self._of_agents(), **self._of_letta(), **self._of_models(), **_OF_UPSTREAMS}

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(method, f"/api/v1{path}", json=body or None, timeout=30)
        return answer.raise_for_status().json()

    def _of_agents(self) -> Known:
        template = self._ask("POST", "/ams/templates/publish", **agent_file())["template_id"]
        self._ask("POST", "/templates/publish", **next_file())
        wish = {"template_id": template, "variables": {"user_name": "Ann"}}
        agent = self._ask("POST", "/agents", **wish, version="1.0.0")["agent"]["id"]
        self._ask("POST", f"/agents/{agent}/upgrade", dry_run=False)
        migration = self._ask("GET", f"/agents/{agent}/migrations")["data"][0]["id"]
        fleet = self._ask("POST", f"/templates/{template}/migrations")["id"]
        return {
            "/api/v1/agents/{id}": {"id": agent, "migration_id": migration, **wish},
            "/api/v1/agents": wish,
            "/api/v1/ams": wish,
            "/api/v1/templates/{template_id}/migrations": {"template_id": template, "id": fleet},
            "/api/v1/templates": {"template_id": template, "id": template, "version": "1.1.0"},
        }

    def _of_letta(self) -> Known:
        made = {"model": MODEL, "embedding": EMBEDDING}
        agent = self._ask("POST", "/letta/agents", **made)["id"]
        self._ask("POST", f"/letta/agents/{agent}/messages", messages=_HELLO)
        self._ask("POST", f"/letta/agents/{agent}/archival-memory", text="Likes tea.")
        block = self._ask("POST", "/letta/blocks", label="human", value="Ann")["id"]
        self._ask("PATCH", f"/letta/agents/{agent}/core-memory/blocks/attach/{block}")
        folder = self._ask("POST", "/letta/folders", name="papers", embedding=EMBEDDING)["id"]
        archive = self._ask("POST", "/letta/archives", name="old", embedding=EMBEDDING)["id"]
        talk = self._ask("POST", f"/letta/conversations?agent_id={agent}", summary="A talk.")["id"]
        run = self._ask("GET", "/letta/runs")[0]["id"]
        tool = self._ask("GET", "/letta/tools")[0]
        message = self._ask("GET", f"/letta/agents/{agent}/messages")[0]
        known = {
            "agent_id": agent,
            "archive_id": archive,
            "block_id": block,
            "block_label": "human",
            "conversation_id": talk,
            "folder_id": folder,
            "message_id": message["id"],
            "run_id": run,
            "source_id": folder,
            "step_id": message.get("step_id") or self._ask("GET", f"/letta/runs/{run}/steps")[0],
            "tool_id": tool["id"],
            "tool_name": tool["name"],
        }
        return {"/api/v1/letta": {**known, "messages": _HELLO, "text": "x", **made}}

    def _of_models(self) -> Known:
        key = self._ask("POST", "/llm/keys", name="nightly")["id"]
        call = {"model": "sandbox-chat", "messages": _HELLO, "input": "Hello", "prompt": "Hello"}
        return {"/api/v1/llm/keys": {"id": key}, "/api/v1/llm": call}


_OF_UPSTREAMS: Final = {"/api/v1/system/upstreams": {"name": "letta"}}
