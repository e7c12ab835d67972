"""Copies of agents, with or without what they have learned and said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.blueprints import blocks_in
from agents.snapshots import body_of, with_initial_blocks
from gateway_project.sandbox.ams.agents import MARKS, note, own
from gateway_project.sandbox.ams.calls import state_of
from gateway_project.sandbox.ams.letta import ask
from templates_app.agent_file.filling import fill

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.ams.state import Row


async def clone(request: Request) -> Response:
    """Make an agent like another one."""
    source, given = own(request), await request.json()
    version = state_of(request).templates[source["template_id"]]["versions"][source["version"]]
    document = fill(version["agent_file"], source["variables"]).document
    shown = await ask(request, "GET", f"/agents/{source['id']}")
    body = body_of(shown) | {"name": given["agent_name"]}
    body |= {name: given[name] for name in MARKS if name in given}
    body["secrets"] = document.get("tool_env") or {}
    if not given["include_memory"]:
        body["memory_blocks"] = with_initial_blocks(body["memory_blocks"], blocks_in(document))
    if given["include_messages"]:
        agent_id = await _with_messages(request, source["id"], body)
    else:
        agent_id = (await ask(request, "POST", "/agents/", payload=body))["id"]
    if given["include_memory"]:
        await _copy_passages(request, source["id"], agent_id)
    made = await ask(request, "GET", f"/agents/{agent_id}")
    note(request, source, agent_id)
    answer = {"agent": made, "template_checksum": version["checksum"]}
    return JSONResponse(answer, 201)


async def _with_messages(request: Request, source_id: str, body: Row) -> str:
    filed = (await ask(request, "GET", f"/agents/{source_id}/export"))["agents"][0]["messages"]
    thread = [message for message in filed if message["role"] != "system"]
    system = {"role": "system", "content": body["system"], "id": "message-system"}
    agent: dict[str, Any] = {**body, "id": "agent-0", "messages": [system, *thread]}
    agent["in_context_message_ids"] = [message["id"] for message in agent["messages"]]
    empty = ("groups", "blocks", "files", "sources", "tools", "mcp_servers", "skills")
    document = {"agents": [agent], **{name: [] for name in empty}}
    form = {"append_copy_suffix": "false", "model": body["model"]}
    if body.get("embedding"):
        form["embedding"] = body["embedding"]
    file = {"file": ("agent.af", json.dumps(document).encode(), "application/json")}
    made = await ask(request, "POST", "/agents/import", form=form, files=file)
    agent_id = str(made["agent_ids"][0])
    await ask(request, "POST", f"/agents/{agent_id}/recompile")
    return agent_id


async def _copy_passages(request: Request, source_id: str, agent_id: str) -> None:
    path = "/agents/{}/archival-memory"
    listed = await ask(request, "GET", f"{path.format(source_id)}?limit=1000&ascending=true")
    for passage in listed:
        kept = {name: passage[name] for name in ("text", "tags", "created_at") if passage[name]}
        await ask(request, "POST", path.format(agent_id), payload=kept)


ROUTES: Final = [Route("/agents/{agent_id}/clone", clone, methods=["POST"])]
