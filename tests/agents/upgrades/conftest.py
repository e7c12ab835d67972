from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from gateway_project.upstreams import upstreams
from tests.agents.conftest import Caller, InLetta, agent_file

RULES = {"label": "rules", "value": "Be {{tone}}.", "read_only": True}
HUMAN = {"label": "human", "value": "Name: {{user_name}}", "limit": 2000}


def next_file(version: str = "1.1.0", **members: Any) -> dict[str, Any]:
    """Return the Agent File of another version, which differs in each place."""
    first = agent_file(version)
    persona = {**first["persona"], "system_prompt": "You serve {{user_name}}."}
    layout = {
        "blocks": [
            {**HUMAN, "limit": 3000, "description": "Who it is."},
            {"label": "goals", "value": "Serve."},
        ]
    }
    tools = [*first["tools"][:2], "conversation_search"]
    return {**first, "persona": persona, "memory_layout": layout, "tools": tools, **members}


def in_a_process(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Do what a worker or a command does, and close what a process closes at its end."""

    def call() -> Any:
        try:
            return work(*arguments, **named)
        finally:
            connections.close_all()

    async def run() -> Any:
        try:
            return await sync_to_async(call)()
        finally:
            for upstream in upstreams():
                await upstream.close()

    return asyncio.run(run())


@pytest.fixture
def published(alice: Caller, agent: dict[str, Any]) -> dict[str, Any]:
    """Return an agent of which there is a newer version of the template."""
    alice.post("/templates/publish", json=next_file())
    return agent


class Memory:
    """An agent's blocks in Letta."""

    def __init__(self, in_letta: InLetta, agent_id: str) -> None:
        self._in_letta, self._agent_id = in_letta, agent_id

    def document(self) -> dict[str, Any]:
        return dict(self._in_letta("GET", f"/agents/{self._agent_id}"))

    def blocks(self) -> dict[str, str]:
        return {block["label"]: block["value"] for block in self.document()["blocks"]}

    def learn(self, label: str, value: str) -> None:
        path = f"/agents/{self._agent_id}/core-memory/blocks/{label}"
        self._in_letta("PATCH", path, json={"value": value})


@pytest.fixture
def memory(in_letta: InLetta, agent: dict[str, Any]) -> Memory:
    return Memory(in_letta, agent["id"])
