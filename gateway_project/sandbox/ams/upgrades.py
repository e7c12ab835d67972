"""Agents brought to other versions, by the gateway's own comparison of what there is."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.upgrades.merging import Choice, Strategy
from agents.upgrades.patching import operations_in
from agents.upgrades.plan import Plan, make_plan
from agents.upgrades.states import State, state_of_agent, state_of_file
from gateway_core.errors import FieldInvalid
from gateway_project.sandbox.ams.calls import ProblemError, caller_of, state_of
from gateway_project.sandbox.ams.letta import ask
from gateway_project.sandbox.ams.performing import perform
from gateway_project.sandbox.ams.templates import is_higher, version_of, visible
from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import Filled, fill
from templates_app.agent_file.variables import names
from templates_app.agent_file.ways import ways_from

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.ams.state import Row

# The first AMS asked nobody.
_OLD: Final = Strategy(in_all=Choice.TAKE_TEMPLATE)


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
    template = visible(state, user_id, row["template_id"])
    version = version_of(template, given.get("target_version") or template["latest"])
    if not state.is_old and not given.get("force"):
        _require_higher(version, row)
    filled = _filled(version, {**row["variables"], **(given.get("variables") or {})})
    plan = await _plan(request, row, filled, _OLD if state.is_old else _strategy(given))
    if given.get("dry_run", True):
        return JSONResponse(_told(plan, version, is_old=state.is_old))
    if not state.is_old:
        _refuse(plan, version, given)
    await perform(request, row["id"], plan)
    row |= {"version": version["version"], "variables": filled.values, "base": plan.base.as_json()}
    answer = {"plan": _lines(plan), "applied": True, "new_version": version["version"]}
    state.answers[key] = answer
    return JSONResponse(answer)


async def _plan(request: Request, row: Row, filled: Filled, strategy: Strategy) -> Plan:
    old = State.from_json(row["base"]) if "base" in row else _made_from(request, row)
    document = filled.document
    now = await ask(request, "GET", f"/agents/{row['id']}")
    try:
        return make_plan(
            old=old,
            new=state_of_file(document, document.get("tool_env") or {}),
            now=state_of_agent(now, old.environment),
            strategy=strategy,
            operations=operations_in(document, ways_from(document, row["version"])),
        )
    except FieldInvalid as exc:
        raise ProblemError(
            422, "no_migration_path", exc.detail, errors=list(map(dict, exc.errors))
        ) from exc


def _made_from(request: Request, row: Row) -> State:
    template = visible(state_of(request), row["user_id"], row["template_id"])
    document = _filled(version_of(template, row["version"]), row["variables"]).document
    return state_of_file(document, document.get("tool_env") or {})


def _filled(version: Row, variables: Row) -> Filled:
    document = version["agent_file"]
    known = {name: value for name, value in variables.items() if name in names(document)}
    try:
        return fill(document, known, at="/variables")
    except FaultsFound as exc:
        errors = [fault.as_dict() for fault in exc.faults]
        raise ProblemError(422, "variables_missing", "Variables", errors=errors) from exc


def _strategy(given: Row) -> Strategy:
    chosen = given.get("strategy")
    return Strategy(
        in_all=Choice(chosen) if chosen else None,
        by_pointer={at: Choice(one) for at, one in (given.get("strategies") or {}).items()},
    )


def _require_higher(version: Row, row: Row) -> None:
    if not is_higher(version["version"], row["version"]):
        raise ProblemError(409, "conflict", f"The agent is at version {row['version']}")


def _told(plan: Plan, version: Row, *, is_old: bool) -> Row:
    diff = [change for step in plan.steps for change in step.differences()]
    told = {"plan": _lines(plan), "diff": diff, "warnings": list(plan.warnings), "dry_run": True}
    if is_old:
        return told
    return {
        **told,
        "conflicts": _conflicts(plan),
        "plan_hash": _hash(plan, version),
        "target_version": version["version"],
    }


def _refuse(plan: Plan, version: Row, given: Row) -> None:
    now = _hash(plan, version)
    if given.get("plan_hash", now) != now:
        fault = {"pointer": "/plan_hash", "message": f"is {now} now"}
        others = [
            {"pointer": one["pointer"], "message": f"would {one['op']}"} for one in _lines(plan)
        ]
        raise ProblemError(409, "conflict", "The plan is another one now", errors=[fault, *others])
    if plan.conflicts:
        raise ProblemError(409, "conflict", "There are conflicts", errors=_conflicts(plan))


def _lines(plan: Plan) -> list[Row]:
    return [dict(step.as_line()) for step in plan.steps]


def _conflicts(plan: Plan) -> list[Row]:
    return [{"pointer": one.pointer, "message": one.message} for one in plan.conflicts]


def _hash(plan: Plan, version: Row) -> str:
    steps = [step.as_json() for step in plan.steps]
    content: Any = (version["version"], steps, _conflicts(plan))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


ROUTES: Final = [Route("/agents/{agent_id}/upgrade", upgrade, methods=["POST"])]
