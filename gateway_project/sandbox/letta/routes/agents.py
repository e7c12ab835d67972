"""Agents: create, list, read, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import agent_shape, agents, messages
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.store import Row, public, touch

if TYPE_CHECKING:
    from collections.abc import Iterable

routes: Final = Routes()


def wanted(call: Call, default: Iterable[str] = agent_shape.RELATIONS) -> list[str]:
    """Return the relations that a request asks for; SDKs of version 1 get none unasked."""
    included = [name.removeprefix("agent.") for name in call.many("include")]
    included += call.many("include_relationships")
    if included:
        return included
    return [] if call.from_sdk_v1 else list(default)


@routes.add("GET", "/agents/")
async def list_agents(call: Call) -> list[Row]:
    """Return the agents of the actor's organization."""
    rows = [row for row in call.store.own_rows("agents", call.actor) if _matches(call, row)]
    if not call.flag("show_hidden_agents"):
        rows = [row for row in rows if not row["hidden"]]
    return [
        agent_shape.show(call.store, row, wanted(call))
        for row in page(rows, call.request.query_params, among=call.store.anyones_rows("agents"))
    ]


@routes.add("GET", "/agents/count")
async def count_agents(call: Call) -> int:
    """Return how many agents the organization has."""
    return len(call.store.own_rows("agents", call.actor))


@routes.add("POST", "/agents/")
async def create_agent(call: Call) -> Row:
    """Make an agent."""
    given = await call.body()
    return agent_shape.show(call.store, agents.create(call.store, given, call.actor))


@routes.add("PATCH", "/agents/{agent_id}")
async def update_agent(call: Call) -> Row:
    """Change an agent."""
    given = await call.body()
    agent = touch(call.own("agents", "agent_id"), call.actor)
    agents.update(call.store, agent, given, call.actor)
    return agent_shape.show(call.store, agent)


@routes.add("GET", "/agents/{agent_id}")
async def get_agent(call: Call) -> Row:
    """Return one agent."""
    return agent_shape.show(call.store, call.own("agents", "agent_id"), wanted(call))


@routes.add("DELETE", "/agents/{agent_id}")
async def delete_agent(call: Call) -> Row:
    """Delete an agent and its thread."""
    agent = call.own("agents", "agent_id")
    agents.delete(call.store, agent)
    return {"message": f"Agent id={agent['id']} successfully deleted"}


@routes.add("GET", "/agents/{agent_id}/context")
async def get_context(call: Call) -> Row:
    """Return how the agent's context window is filled."""
    agent = call.own("agents", "agent_id")
    rows = [m for m in call.store.own_rows("messages", call.actor) if m["_agent_id"] == agent["id"]]
    shown = agent_shape.show(call.store, agent, {"blocks", "tools"})
    core = "\n".join(f"<{b['label']}>{b['value']}</{b['label']}>" for b in shown["blocks"])
    counted = {
        "num_tokens_system": len(agent["system"]) // 4,
        "num_tokens_core_memory": len(core) // 4,
        "num_tokens_messages": sum(len(str(m.get("content"))) // 4 for m in rows),
    }
    unused = ("memory_filesystem", "tool_usage_rules", "directories", "summary_memory")
    return {
        "context_window_size_max": agent["llm_config"]["context_window"],
        "context_window_size_current": sum(counted.values()),
        "num_messages": len(agent["message_ids"]),
        "num_archival_memory": 0,
        "num_recall_memory": len(rows),
        "num_tokens_external_memory_summary": 0,
        "external_memory_summary": f"- AGENT_ID: {agent['id']}",
        "system_prompt": agent["system"],
        "core_memory": core,
        **counted,
        **dict.fromkeys(unused),
        **{f"num_tokens_{name}": 0 for name in unused},
        "num_tokens_functions_definitions": 0,
        "functions_definitions": [
            {"type": "function", "function": tool["json_schema"]} for tool in shown["tools"]
        ],
        "messages": [_internal(row, agent["id"]) for row in rows],
    }


@routes.add("POST", "/agents/{agent_id}/recompile", "/agents/{agent_id}/system-prompt/recompile")
async def recompile(call: Call) -> str:
    """Return the system prompt."""
    return str(call.own("agents", "agent_id")["system"])


@routes.add("GET", "/agents/{agent_id}/groups")
async def list_agent_groups(call: Call) -> list[Row]:
    """Return the groups of an agent; of a foreign one none, with 200, as the real server."""
    groups = [public(row) for row in call.store.own_rows("groups", call.actor)]
    return [group for group in groups if call.path("agent_id") in group["agent_ids"]]


def _internal(row: Row, agent_id: str) -> dict[str, Any]:
    return {
        "id": row["id"],
        "agent_id": agent_id,
        "role": row["message_type"].partition("_")[0],
        "content": [{"type": "text", "text": messages.text_of(row.get("content"))}],
        "created_at": row["date"],
    }


def _matches(call: Call, agent: Row) -> bool:
    tags = call.many("tags")
    if tags:
        held = [tag in agent["tags"] for tag in tags]
        if not (all(held) if call.flag("match_all_tags") else any(held)):
            return False
    name, text = call.query("name"), call.query("query_text")
    if (name and agent["name"] != name) or (text and text.lower() not in agent["name"].lower()):
        return False
    identity, keys = call.query("identity_id"), call.many("identifier_keys")
    if identity and identity not in agent["_identity_ids"]:
        return False
    if keys:
        held_keys = {
            row["identifier_key"]
            for i in agent["_identity_ids"]
            if (row := call.store.anyones("identities", i))
        }
        return bool(held_keys.intersection(keys))
    return True
