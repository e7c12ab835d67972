"""Attaching things to an agent. Unlike create and PATCH, these routes do check the other id."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta import agent_shape, agents
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.store import Row, public, touch

routes: Final = Routes()


@routes.add("PATCH", "/agents/{agent_id}/core-memory/blocks/attach/{block_id}")
async def attach_block(call: Call) -> Row:
    """Attach a block."""
    return agent_shape.show(call.store, _attach(call, "blocks", "block_id", "_block_ids"))


@routes.add("PATCH", "/agents/{agent_id}/core-memory/blocks/detach/{block_id}")
async def detach_block(call: Call) -> Row:
    """Detach a block."""
    return agent_shape.show(call.store, _detach(call, "blocks", "block_id", "_block_ids"))


@routes.add("PATCH", "/agents/{agent_id}/tools/attach/{tool_id}")
async def attach_tool(call: Call) -> Row | None:
    """Attach a tool."""
    return _unless_sdk(call, _attach(call, "tools", "tool_id", "_tool_ids"))


@routes.add("PATCH", "/agents/{agent_id}/tools/detach/{tool_id}")
async def detach_tool(call: Call) -> Row | None:
    """Detach a tool."""
    return _unless_sdk(call, _detach(call, "tools", "tool_id", "_tool_ids"))


@routes.add("PATCH", "/agents/{agent_id}/tools/approval/{tool_name}")
async def set_approval(call: Call) -> Row | None:
    """Make a tool wait for a person, or not."""
    given = await call.body()
    agent, name = call.own("agents", "agent_id"), call.path("tool_name")
    rule = {"tool_name": name, "type": "requires_approval", "prompt_template": None}
    agent["tool_rules"] = [r for r in agent["tool_rules"] if r.get("tool_name") != name]
    if given.get("requires_approval") or call.flag("requires_approval"):
        agent["tool_rules"].append(rule)
    return _unless_sdk(call, touch(agent, call.actor))


@routes.add("GET", "/agents/{agent_id}/tools")
async def list_agent_tools(call: Call) -> list[Row]:
    """Return the agent's tools with their code; foreign ones among them are not shown here."""
    agent = call.own("agents", "agent_id")
    rows = call.store.own_rows("tools", call.actor)
    tools = [public(row) for row in rows if row["id"] in agent["_tool_ids"]]
    return page(tools, call.request.query_params, limit=10)


@routes.add("PATCH", "/agents/{agent_id}/folders/attach/{folder_id}")
async def attach_folder(call: Call) -> Row | None:
    """Attach a folder and open its files."""
    agent = _attach(call, "sources", "folder_id", "_source_ids")
    agents.open_files(call.store, agent, call.path("folder_id"), call.actor)
    return _unless_sdk(call, agent)


@routes.add("PATCH", "/agents/{agent_id}/sources/attach/{source_id}")
async def attach_source(call: Call) -> Row:
    """Attach a folder by its old name."""
    agent = _attach(call, "sources", "source_id", "_source_ids")
    agents.open_files(call.store, agent, call.path("source_id"), call.actor)
    return agent_shape.show(call.store, agent)


@routes.add("PATCH", "/agents/{agent_id}/folders/detach/{folder_id}")
async def detach_folder(call: Call) -> Row | None:
    """Detach a folder and close its files."""
    return _unless_sdk(call, _detach_source(call, "folder_id"))


@routes.add("PATCH", "/agents/{agent_id}/sources/detach/{source_id}")
async def detach_source(call: Call) -> Row:
    """Detach a folder by its old name."""
    return agent_shape.show(call.store, _detach_source(call, "source_id"))


@routes.add("PATCH", "/agents/{agent_id}/archives/attach/{archive_id}")
async def attach_archive(call: Call) -> None:
    """Attach an archive."""
    _attach(call, "archives", "archive_id", "_archive_ids")


@routes.add("PATCH", "/agents/{agent_id}/archives/detach/{archive_id}")
async def detach_archive(call: Call) -> None:
    """Detach an archive."""
    _detach(call, "archives", "archive_id", "_archive_ids")


@routes.add("PATCH", "/agents/{agent_id}/identities/attach/{identity_id}")
async def attach_identity(call: Call) -> None:
    """Attach an identity."""
    _attach(call, "identities", "identity_id", "_identity_ids")


@routes.add("PATCH", "/agents/{agent_id}/identities/detach/{identity_id}")
async def detach_identity(call: Call) -> None:
    """Detach an identity."""
    _detach(call, "identities", "identity_id", "_identity_ids")


def _attach(call: Call, table: str, name: str, member: str) -> Row:
    agent, attached = call.own("agents", "agent_id"), call.own(table, name)
    if attached["id"] not in agent[member]:
        agent[member].append(attached["id"])
    return touch(agent, call.actor)


def _detach(call: Call, table: str, name: str, member: str) -> Row:
    agent, detached = call.own("agents", "agent_id"), call.own(table, name)
    agent[member] = [i for i in agent[member] if i != detached["id"]]
    return touch(agent, call.actor)


def _detach_source(call: Call, name: str) -> Row:
    agent = _detach(call, "sources", name, "_source_ids")
    source_id = call.path(name)
    call.store.remove_where(
        "file_agents", lambda f: f["_agent"] == agent["id"] and f["folder_id"] == source_id
    )
    return agent


def _unless_sdk(call: Call, agent: Row) -> Row | None:
    """Return the agent, but nothing to the SDKs of version 1, as the real server."""
    return None if call.from_sdk_v1 else agent_shape.show(call.store, agent)
