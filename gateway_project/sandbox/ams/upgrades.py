"""Agents brought to other versions: system prompt and model, which is as much as a test needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.blueprints import letta_body
from gateway_project.sandbox.ams.calls import ProblemError, caller_of, state_of
from gateway_project.sandbox.ams.letta import ask
from gateway_project.sandbox.ams.templates import is_higher, version_of, visible
from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import fill

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.ams.state import Row

_UPGRADED: Final = ("system", "model")


@dataclass(frozen=True, slots=True)
class _Plan:
    version: str
    changes: Row
    diff: list[Row]
    conflicts: list[Row]

    @property
    def lines(self) -> list[Row]:
        return [{"op": "change", "pointer": f"/{name}"} for name in self.changes]

    @property
    def hash(self) -> str:
        content = (self.version, self.diff, self.conflicts)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


async def upgrade(request: Request) -> Response:
    """Say what an upgrade would do, or do it, once for each idempotency key."""
    user_id, given = caller_of(request), await request.json()
    state = state_of(request)
    key = f"{user_id} upgrade {request.headers.get('idempotency-key', '')}"
    if not key.endswith(" ") and key in state.answers:
        return JSONResponse(state.answers[key], headers={"idempotent-replayed": "true"})
    row = state.agents.get(request.path_params["agent_id"])
    if row is None or row["user_id"] != user_id:
        raise ProblemError(404, "not_found", "There is no such agent")
    variables = {**row["variables"], **(given.get("variables") or {})}
    plan = await _plan(request, row, given, variables)
    if given.get("dry_run", True):
        return JSONResponse(_told(plan, is_old=state.is_old))
    if not state.is_old:
        _refuse(plan, given)
    await ask(request, "PATCH", f"/agents/{row['id']}", payload=plan.changes)
    row |= {"version": plan.version, "variables": variables}
    answer = {"plan": plan.lines, "applied": True, "new_version": plan.version}
    state.answers[key] = answer
    return JSONResponse(answer)


async def _plan(request: Request, row: Row, given: Row, variables: Row) -> _Plan:
    is_old = state_of(request).is_old
    template = visible(state_of(request), row["user_id"], row["template_id"])
    version = version_of(template, given.get("target_version") or template["latest"])
    if not is_old and not given.get("force") and not is_higher(version["version"], row["version"]):
        raise ProblemError(409, "conflict", f"The agent is at version {row['version']}")
    wanted = _body(version, variables)
    before = _body(version_of(template, row["version"]), row["variables"])
    now = await ask(request, "GET", f"/agents/{row['id']}")
    changes, conflicts = {}, []
    for name in (one for one in _UPGRADED if wanted[one] != now[one]):
        pointer = f"/{name}"
        choice = (given.get("strategies") or {}).get(pointer, given.get("strategy"))
        is_learned = not is_old and now[name] != before[name]
        if is_learned and choice is None:
            conflicts.append({"pointer": pointer, "message": "was changed by the agent, too"})
        elif not is_learned or choice == "take_template":
            changes[name] = wanted[name]
    diff = [
        {"pointer": f"/{name}", "before": now[name], "after": after}
        for name, after in changes.items()
    ]
    return _Plan(version["version"], changes, diff, conflicts)


def _told(plan: _Plan, *, is_old: bool) -> Row:
    told = {"plan": plan.lines, "diff": plan.diff, "warnings": [], "dry_run": True}
    if is_old:
        return told
    more = {"conflicts": plan.conflicts, "plan_hash": plan.hash, "target_version": plan.version}
    return {**told, **more}


def _refuse(plan: _Plan, given: Row) -> None:
    if given.get("plan_hash", plan.hash) != plan.hash:
        fault = {"pointer": "/plan_hash", "message": f"is {plan.hash} now"}
        raise ProblemError(409, "conflict", "The plan is another one now", errors=[fault])
    if plan.conflicts:
        raise ProblemError(409, "conflict", "There are conflicts", errors=plan.conflicts)


def _body(version: Row, variables: Row) -> Row:
    try:
        return letta_body(fill(version["agent_file"], variables, at="/variables").document)
    except FaultsFound as exc:
        errors = [fault.as_dict() for fault in exc.faults]
        raise ProblemError(422, "variables_missing", "Variables", errors=errors) from exc


ROUTES: Final = [Route("/agents/{agent_id}/upgrade", upgrade, methods=["POST"])]
