"""Tools: an organization's catalogue, and code that the real server would run."""

from __future__ import annotations

import re
from typing import Final

from gateway_project.sandbox.letta import base_tools, messages
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError
from gateway_project.sandbox.letta.store import Row, public
from gateway_project.sandbox.letta.tool_runs import find_tool

routes: Final = Routes()

_DEFINED: Final = re.compile(r"^def\s+(\w+)", re.MULTILINE)


@routes.add("GET", "/tools/")
async def list_tools(call: Call) -> list[Row]:
    """Return the organization's tools with their code; the first call adds the base tools."""
    base_tools.seed(call.store, call.actor)
    names = {*call.many("names"), *call.many("name")}
    rows = call.store.own_rows("tools", call.actor)
    kept = [public(row) for row in rows if not names or row["name"] in names]
    return page(kept, call.request.query_params)


@routes.add("GET", "/tools/count")
async def count_tools(call: Call) -> int:
    """Return how many tools the organization has."""
    return len(call.store.own_rows("tools", call.actor))


@routes.add("POST", "/tools/add-base-tools")
async def add_base_tools(call: Call) -> list[Row]:
    """Give the organization its base tools; without them it can't make agents."""
    return [public(row) for row in base_tools.seed(call.store, call.actor)]


@routes.add("POST", "/tools/")
@routes.add("PUT", "/tools/")
async def create_tool(call: Call) -> Row:
    """Make a tool out of Python code, which the real server would run as itself."""
    given = await call.body(["source_code"])
    row = base_tools.custom(_name_of(given["source_code"]), given["source_code"], call.actor)
    row["tags"] = given.get("tags") or []
    return public(call.store.add("tools", row, call.actor))


@routes.add("POST", "/tools/run")
async def run_from_source(call: Call) -> Row:
    """Record code that the real server would run as itself, with its own environment."""
    given = await call.body(["source_code", "args"])
    call.world.outside.note_execution(given["source_code"], why="tools/run", actor=call.actor)
    name = _name_of(given["source_code"])
    returned = messages.tool_return("null", f"executed {name}", status="success", stderr=None)
    row = messages.message("tool_return_message", run_id=None, step_id=None, **returned)
    return row | {"id": "null", "otid": None}


@routes.add("POST", "/agents/{agent_id}/tools/{tool_name}/run")
async def run_agent_tool(call: Call) -> Row:
    """Record that an agent's tool would be run."""
    await call.body()
    tool = find_tool(call.world, call.own("agents", "agent_id"), call.path("tool_name"))
    if tool is None:
        raise DetailError(404, f"Tool '{call.path('tool_name')}' not found on agent")
    code = tool["source_code"] or ""
    call.world.outside.note_execution(code, why=f"tool {tool['name']}", actor=call.actor)
    return {
        "status": "success",
        "func_return": f"executed {tool['name']}",
        "agent_state": None,
        "stdout": [],
        "stderr": [],
        "sandbox_config_fingerprint": None,
    }


@routes.add("GET", "/tools/{tool_id}")
async def get_tool(call: Call) -> Row:
    """Return one tool with its code."""
    return public(call.own("tools", "tool_id"))


@routes.add("DELETE", "/tools/{tool_id}")
async def delete_tool(call: Call) -> None:
    """Delete a tool."""
    call.store.remove("tools", call.own("tools", "tool_id")["id"])


def _name_of(source_code: str) -> str:
    found = _DEFINED.search(source_code)
    if found is None:
        raise DetailError(400, "INVALID_ARGUMENT: Failed to extract function name from source code")
    return found[1]
