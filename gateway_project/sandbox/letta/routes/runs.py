"""Runs: the record of each turn, and its stream once more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError, UnknownError
from gateway_project.sandbox.letta.replies import follow
from gateway_project.sandbox.letta.store import Row, public

if TYPE_CHECKING:
    from starlette.responses import Response

routes: Final = Routes()

_NO_TRACES: Final = (
    "OTEL traces require ClickHouse. Set LETTA_CLICKHOUSE_ENDPOINT and configure ClickHouse "
    "connection."
)
_ACTIVE: Final = frozenset({"created", "running"})


@routes.add("GET", "/runs/")
async def list_runs(call: Call) -> list[Row]:
    """Return the organization's runs."""
    rows = [row for row in call.store.own_rows("runs", call.actor) if _matches(call, row)]
    shown = [public(row) for row in rows]
    among = call.store.anyones_rows("runs")
    return page(shown, call.request.query_params, limit=100, cursors="listed", among=among)


@routes.add("GET", "/runs/active")
async def list_active_runs(call: Call) -> list[Row]:
    """Return the organization's runs that are not at their end."""
    rows = [row for row in call.store.own_rows("runs", call.actor) if _matches(call, row)]
    active = [public(row) for row in rows if row["status"] in _ACTIVE]
    return page(active, call.request.query_params)


@routes.add("GET", "/runs/{run_id}")
async def get_run(call: Call) -> Row:
    """Return one run."""
    return public(call.own("runs", "run_id"))


@routes.add("DELETE", "/runs/{run_id}")
async def delete_run(call: Call) -> None:
    """Fail, as the real server does for any run."""
    _ = call.actor
    raise UnknownError


@routes.add("GET", "/runs/{run_id}/messages")
async def list_run_messages(call: Call) -> list[Row]:
    """Return what was said in a run."""
    run = call.own("runs", "run_id")
    rows = call.store.own_rows("messages", call.actor)
    kept = [public(row) for row in rows if row["run_id"] == run["id"]]
    return page(kept, call.request.query_params, limit=100, order="asc")


@routes.add("GET", "/runs/{run_id}/usage")
async def get_usage(call: Call) -> Row:
    """Return a run's tokens."""
    steps = _steps(call)
    totals = {
        name: sum(step[name] or 0 for step in steps)
        for name in ("completion_tokens", "prompt_tokens", "total_tokens")
    }
    return totals | {"prompt_tokens_details": None, "completion_tokens_details": None}


@routes.add("GET", "/runs/{run_id}/metrics")
async def get_metrics(call: Call) -> Row:
    """Return a run's metrics."""
    run = call.own("runs", "run_id")
    return {
        "id": run["id"],
        "organization_id": call.actor.organization_id,
        "agent_id": run["agent_id"],
        "project_id": None,
        "run_start_ns": time.time_ns(),
        "run_ns": run["total_duration_ns"],
        "num_steps": len(_steps(call)),
        "tools_used": None,
        "template_id": None,
        "base_template_id": None,
    }


@routes.add("GET", "/runs/{run_id}/steps")
async def list_run_steps(call: Call) -> list[Row]:
    """Return a run's steps."""
    steps = [public(step) for step in _steps(call)]
    return page(steps, call.request.query_params, limit=100)


@routes.add("GET", "/runs/{run_id}/trace")
async def get_trace(call: Call) -> Row:
    """Answer 501, as the real server without ClickHouse."""
    _ = call.actor
    raise DetailError(501, _NO_TRACES)


@routes.add("POST", "/runs/{run_id}/stream")
async def resume_stream(call: Call) -> Response:
    """Stream a background run from after a sequence number on."""
    given = await call.body()
    run = call.own("runs", "run_id")
    if not run["background"]:
        text = "Run was not created in background mode, so it cannot be retrieved."
        raise DetailError(400, f"INVALID_ARGUMENT: {text}")
    turn = call.world.turns.get(run["id"])
    if turn is None:
        raise DetailError(410, "Run was created more than 3 hours ago, and is now expired.")
    return follow(call.world, turn, after=given.get("starting_after") or 0)


def _steps(call: Call) -> list[Row]:
    run = call.own("runs", "run_id")
    steps = call.store.own_rows("steps", call.actor)
    return [step for step in steps if step["run_id"] == run["id"]]


def _matches(call: Call, run: Row) -> bool:
    agent_id, statuses = call.query("agent_id"), call.many("statuses")
    agent_ids = [agent_id] if agent_id else call.many("agent_ids")
    # Statuses that are named count for more.
    if not statuses and call.flag("active"):
        statuses = [*_ACTIVE]
    if agent_ids and run["agent_id"] not in agent_ids:
        return False
    if statuses and run["status"] not in statuses:
        return False
    if call.query("background") is not None and run["background"] != call.flag("background"):
        return False
    return all(
        not (wanted := call.query(name)) or run[name] == wanted
        for name in ("conversation_id", "stop_reason")
    )
