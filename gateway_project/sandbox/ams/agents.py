"""Agents: made from templates, looked after, and kept in Letta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.blueprints import letta_body
from gateway_project.sandbox.ams.calls import ProblemError, caller_of, require_new, state_of
from gateway_project.sandbox.ams.letta import ask
from gateway_project.sandbox.ams.state import Row, now
from gateway_project.sandbox.ams.templates import version_of, visible
from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import fill

if TYPE_CHECKING:
    from starlette.requests import Request

MARKS: Final = ("description", "tags", "metadata")
_MADE_FROM: Final = ("user_id", "template_id", "version", "variables")


async def create(request: Request) -> Response:
    """Make an agent from a version of a template, once for each idempotency key."""
    user_id, given = caller_of(request), await request.json()
    key = f"{user_id} {request.headers.get('idempotency-key', '')}"
    if not key.endswith(" ") and key in state_of(request).answers:
        headers = {"idempotent-replayed": "true"}
        return JSONResponse(state_of(request).answers[key], 201, headers=headers)
    template = visible(state_of(request), user_id, given["template_id"])
    row = version_of(template, given.get("version") or template["latest"])
    try:
        filled = fill(row["agent_file"], given.get("variables") or {}, at="/variables")
    except FaultsFound as exc:
        errors = [fault.as_dict() for fault in exc.faults]
        raise ProblemError(422, "variables_missing", "Variables", errors=errors) from exc
    body = letta_body(filled.document) | {"name": given.get("agent_name") or template["name"]}
    body |= {name: given[name] for name in MARKS if name in given}
    if filled.document.get("tool_env"):
        body["secrets"] = filled.document["tool_env"]
    made = await ask(request, "POST", "/agents/", payload=body)
    made_from = {
        "user_id": user_id,
        "template_id": template["id"],
        "version": row["version"],
        "variables": filled.values,
    }
    note(request, made_from, made["id"])
    answer = {"agent": made, "template_checksum": row["checksum"]}
    state_of(request).answers[key] = answer
    return JSONResponse(answer, 201)


async def retrieve(request: Request) -> Response:
    """Describe an agent."""
    return JSONResponse(own(request))


async def update(request: Request) -> Response:
    """Change what an agent is called and marked with."""
    row, given = own(request), await request.json()
    row |= {name: given[name] for name in ("name", *MARKS) if name in given}
    return JSONResponse(row)


async def suspend(request: Request) -> Response:
    """Note that an agent is suspended."""
    return _become(request, "suspended")


async def resume(request: Request) -> Response:
    """Note that an agent is not suspended."""
    return _become(request, "active")


async def delete(request: Request) -> Response:
    """Delete an agent here and in Letta."""
    row = own(request)
    await ask(request, "DELETE", f"/agents/{row['id']}", may_be_gone=True)
    del state_of(request).agents[row["id"]]
    return Response(status_code=204)


def own(request: Request) -> Row:
    """Return the caller's agent in the path.

    Raises:
        ProblemError: 404, there is none, or it is another user's.
    """
    require_new(request)
    user_id = caller_of(request)
    row = state_of(request).agents.get(request.path_params["agent_id"])
    if row is None or row["user_id"] != user_id:
        raise ProblemError(404, "not_found", "There is no such agent")
    return row


def note(request: Request, made_from: Row, agent_id: str) -> None:
    """Write an agent down that Letta has made.

    Args:
        made_from: its ``user_id, template_id, version`` and ``variables``.
    """
    state_of(request).agents[agent_id] = {
        **{name: made_from[name] for name in _MADE_FROM},
        "id": agent_id,
        "status": "active",
        "created_at": now(),
    }


def _become(request: Request, status: str) -> Response:
    row: Any = own(request)
    row["status"] = status
    return JSONResponse(row)


ROUTES: Final = [
    Route("/agents/create", create, methods=["POST"]),
    Route("/agents", create, methods=["POST"]),
    Route("/agents/{agent_id}", retrieve),
    Route("/agents/{agent_id}", update, methods=["PATCH"]),
    Route("/agents/{agent_id}", delete, methods=["DELETE"]),
    Route("/agents/{agent_id}/suspend", suspend, methods=["POST"]),
    Route("/agents/{agent_id}/resume", resume, methods=["POST"]),
]
