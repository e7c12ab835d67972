"""The files that an agent has through its folders."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()


@routes.add("GET", "/agents/{agent_id}/files")
async def list_agent_files(call: Call) -> Row:
    """Return a page of the agent's files; of a foreign agent none, with 200."""
    rows = [public(row) for row in _of_agent(call)]
    files = page(rows, call.request.query_params, limit=100)
    return {
        "files": files,
        "next_cursor": files[-1]["id"] if files else None,
        "has_more": len(files) < len(rows),
    }


@routes.add("GET", "/agents/{agent_id}/folders", "/agents/{agent_id}/sources")
async def list_agent_folders(call: Call) -> list[Row]:
    """Return the agent's folders."""
    agent = call.own("agents", "agent_id")
    rows = [
        public(row) | {"vector_db_provider": "native"}
        for source_id in agent["_source_ids"]
        if (row := call.store.anyones("sources", source_id))
    ]
    return page(rows, call.request.query_params, limit=100)


@routes.add("PATCH", "/agents/{agent_id}/files/close-all")
async def close_all(call: Call) -> list[str]:
    """Close all files and return their names."""
    closed = [row for row in _of_agent(call) if row["is_open"]]
    for row in closed:
        row["is_open"] = False
    return [row["file_name"] for row in closed]


@routes.add("PATCH", "/agents/{agent_id}/files/{file_id}/open")
async def open_file(call: Call) -> list[str]:
    """Open a file. A foreign agent or file is a 400 here, as the real server."""
    row = _association(call)
    if row is None:
        raise DetailError(400, f"Agent {call.path('agent_id')} not found")
    row["is_open"] = True
    return []


@routes.add("PATCH", "/agents/{agent_id}/files/{file_id}/close")
async def close_file(call: Call) -> Row:
    """Close a file."""
    row = _association(call)
    if row is None:
        ids = f"agent_id={call.path('agent_id')}, file_id={call.path('file_id')}"
        organization_id = call.actor.organization_id
        raise DetailError(404, f"FileAgent({ids}) not found in org {organization_id}")
    row["is_open"] = False
    return {"message": f"File id={row['file_id']} successfully closed"}


def _of_agent(call: Call) -> list[Row]:
    rows = call.store.own_rows("file_agents", call.actor)
    return [row for row in rows if row["_agent"] == call.path("agent_id")]


def _association(call: Call) -> Row | None:
    file_id = call.path("file_id")
    return next((row for row in _of_agent(call) if row["file_id"] == file_id), None)
