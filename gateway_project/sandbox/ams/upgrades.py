"""Agents brought to other versions: system prompt and model, which is as much as a test needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.blueprints import letta_body
from gateway_project.sandbox.ams.calls import ProblemError, caller_of, state_of
from gateway_project.sandbox.ams.letta import ask
from gateway_project.sandbox.ams.templates import version_of, visible
from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import fill

if TYPE_CHECKING:
    from starlette.requests import Request

_UPGRADED: Final = ("system", "model")


async def upgrade(request: Request) -> Response:
    """Say what an upgrade would do, or do it, once for each idempotency key."""
    user_id, given = caller_of(request), await request.json()
    key = f"{user_id} upgrade {request.headers.get('idempotency-key', '')}"
    if not key.endswith(" ") and key in state_of(request).answers:
        headers = {"idempotent-replayed": "true"}
        return JSONResponse(state_of(request).answers[key], headers=headers)
    row = state_of(request).agents.get(request.path_params["agent_id"])
    if row is None or row["user_id"] != user_id:
        raise ProblemError(404, "not_found", "There is no such agent")
    template = visible(state_of(request), user_id, row["template_id"])
    version = version_of(template, given.get("target_version") or template["latest"])
    variables = {**row["variables"], **(given.get("variables") or {})}
    try:
        body = letta_body(fill(version["agent_file"], variables, at="/variables").document)
    except FaultsFound as exc:
        errors = [fault.as_dict() for fault in exc.faults]
        raise ProblemError(422, "variables_missing", "Variables", errors=errors) from exc
    now = await ask(request, "GET", f"/agents/{row['id']}")
    changes = {name: body[name] for name in _UPGRADED if body[name] != now[name]}
    plan = [{"op": "change", "pointer": f"/{name}"} for name in changes]
    diff = [
        {"pointer": f"/{name}", "before": now[name], "after": after}
        for name, after in changes.items()
    ]
    if given.get("dry_run", True):
        return JSONResponse({"plan": plan, "diff": diff, "warnings": [], "dry_run": True})
    await ask(request, "PATCH", f"/agents/{row['id']}", payload=changes)
    row |= {"version": version["version"], "variables": variables}
    answer = {"plan": plan, "applied": True, "new_version": row["version"]}
    state_of(request).answers[key] = answer
    return JSONResponse(answer)


ROUTES: Final = [Route("/agents/{agent_id}/upgrade", upgrade, methods=["POST"])]
