"""Agents as files: export and import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import UploadFile

from gateway_project.sandbox.letta import agent_shape, agents, base_tools, filed
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.problems import DetailError, missing

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Row

routes: Final = Routes()

_LEGACY: Final = (
    "Legacy AgentSchema format is deprecated. Please use the new AgentFileSchema format with "
    "'agents' field."
)
_UNSET: Final[Row] = {
    "memory_blocks": [],
    "tools": [],
    "source_ids": [],
    "folder_ids": None,
    "secrets": None,
    "identity_ids": None,
    "include_base_tools": False,
    "include_multi_agent_tools": False,
}
_AGENT_FIELDS: Final = (
    "name",
    "system",
    "agent_type",
    "description",
    "metadata",
    "tags",
    "tool_rules",
    "llm_config",
    "embedding_config",
    "timezone",
)


@routes.add("GET", "/agents/{agent_id}/export")
@routes.add("POST", "/agents/{agent_id}/export")
async def export_agent(call: Call) -> Row:
    """Return an agent with its blocks, tools and their code; a foreign one is a 500."""
    row = call.store.anyones("agents", call.path("agent_id"))
    if row is None or row["_org"] != call.actor.organization_id:
        raise DetailError(
            500,
            f"Export failed: The following agent IDs were not found: ['{call.path('agent_id')}']",
        )
    shown = agent_shape.show(call.store, row)
    tools = [tool | {"id": f"tool-{i}"} for i, tool in enumerate(shown["tools"])]
    blocks = [block | {"id": f"block-{i}"} for i, block in enumerate(shown["blocks"])]
    in_context = (call.store.anyones("messages", i) for i in row["message_ids"])
    thread = filed.as_file(message for message in in_context if message is not None)
    agent = {name: shown[name] for name in _AGENT_FIELDS} | {
        "id": "agent-0",
        "tool_ids": [tool["id"] for tool in tools],
        "block_ids": [block["id"] for block in blocks],
        "tool_exec_environment_variables": {s["key"]: "" for s in shown["secrets"]},
        **_UNSET,
        "messages": thread,
        "in_context_message_ids": [message["id"] for message in thread],
        "files_agents": [],
        "group_ids": [],
    }
    return {
        "agents": [agent],
        "groups": [],
        "blocks": blocks,
        "files": [],
        "sources": [],
        "tools": tools,
        "mcp_servers": [],
        "skills": [],
        "metadata": {"revision_id": "unknown"},
        "created_at": row["created_at"],
    }


@routes.add("POST", "/agents/import")
async def import_agents(call: Call) -> Row:
    """Make the agents of a file.

    As the real server: the code of its tools becomes tools of the organization, and endpoints
    and environment variables in it are taken over.
    """
    actor = call.actor
    async with call.request.form() as form:
        uploaded = form.get("file")
        if not isinstance(uploaded, UploadFile):
            raise missing("body", "file")
        document = _parsed(await uploaded.read())
        override = {name: form[name] for name in ("model", "embedding", "name") if name in form}
        suffix = "" if form.get("append_copy_suffix") == "false" else "_copy"
    tool_ids = {tool["id"]: _tool(call, tool) for tool in document.get("tools", [])}
    blocks = {block["id"]: block for block in document.get("blocks", [])}
    made = []
    for agent in document["agents"]:
        given = {
            **{name: agent[name] for name in _AGENT_FIELDS if agent.get(name) is not None},
            "name": f"{agent['name']}{suffix}",
            "include_base_tools": False,
            "tool_ids": [tool_ids[i] for i in agent.get("tool_ids") or [] if i in tool_ids],
            "tools": agent.get("tools") or [],
            "memory_blocks": [
                *(blocks[i] for i in agent.get("block_ids") or [] if i in blocks),
                *(agent.get("memory_blocks") or []),
            ],
            "secrets": agent.get("secrets") or agent.get("tool_exec_environment_variables"),
            **override,
        }
        row = agents.create(call.store, given, actor)
        if agent.get("messages"):
            filed.into_thread(call.store, row, agent["messages"], actor)
        made.append(row["id"])
    return {"agent_ids": made}


def _tool(call: Call, tool: Row) -> str:
    """Return the id of the organization's tool of that name, with the file's code in it."""
    code = tool.get("source_code")
    if code:
        call.world.outside.note_execution(code, why="import", actor=call.actor)
        row = base_tools.custom(tool["name"], code, call.actor)
        return str(call.store.add("tools", row, call.actor)["id"])
    own = {row["name"]: row["id"] for row in base_tools.seed(call.store, call.actor)}
    if tool["name"] not in own:
        raise DetailError(400, f"INVALID_ARGUMENT: Tool {tool['name']} has no source code")
    return str(own[tool["name"]])


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as exc:
        raise DetailError(400, "Corrupted agent file format.") from exc
    if not isinstance(document, dict) or not document.get("agents"):
        raise DetailError(400, _LEGACY)
    return document
