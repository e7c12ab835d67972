"""Steps, single messages and jobs."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()


@routes.add("GET", "/steps/")
async def list_steps(call: Call) -> list[Row]:
    """Return the organization's steps. Without ``order`` it is a 400, as the real server."""
    if call.query("order") is None:
        text = "Argument order does not match type typing.Optional[str]; is False of type"
        raise DetailError(400, f"{text} <class 'bool'>")
    agent_id = call.query("agent_id")
    rows = call.store.own_rows("steps", call.actor)
    kept = [public(row) for row in rows if agent_id in {None, row["agent_id"]}]
    return page(kept, call.request.query_params)


@routes.add("GET", "/steps/{step_id}")
async def get_step(call: Call) -> Row:
    """Return one step."""
    return public(call.own("steps", "step_id"))


@routes.add("GET", "/steps/{step_id}/metrics")
async def get_step_metrics(call: Call) -> Row:
    """Return a step's metrics."""
    step = call.own("steps", "step_id")
    measured = ("step_start_ns", "llm_request_start_ns", "llm_request_ns", "tool_execution_ns")
    return {
        **{name: step[name] for name in ("id", "organization_id", "run_id", "agent_id")},
        **dict.fromkeys(measured),
        "step_ns": None,
        "provider_id": None,
        "project_id": None,
    }


@routes.add("GET", "/steps/{step_id}/trace")
async def get_step_trace(call: Call) -> None:
    """Return nothing, for any step, as the real server without telemetry."""
    _ = call.actor


@routes.add("PATCH", "/steps/{step_id}/feedback")
async def give_feedback(call: Call) -> Row:
    """Say whether a step was good."""
    given = await call.body()
    step = call.own("steps", "step_id")
    step |= {name: given[name] for name in ("feedback", "tags") if name in given}
    return public(step)


@routes.add("GET", "/steps/{step_id}/messages")
async def list_step_messages(call: Call) -> list[Row]:
    """Return a step's messages; of a foreign step none, with 200, as the real server."""
    rows = call.store.own_rows("messages", call.actor)
    kept = [public(row) for row in rows if row["step_id"] == call.path("step_id")]
    return page(kept, call.request.query_params, limit=100, order="asc")


@routes.add("GET", "/messages/")
async def list_all_messages(call: Call) -> list[Row]:
    """Return messages of every organization: the real server forgets to filter here."""
    _ = call.actor
    rows = [public(row) for row in call.store.anyones_rows("messages")]
    return page(rows, call.request.query_params, limit=100)


@routes.add("POST", "/messages/search", "/agents/messages/search")
async def search_messages(call: Call) -> Row:
    """Answer 400, as the real server without Turbopuffer."""
    await call.body()
    _ = call.actor
    text = "Message search requires message embedding, OpenAI, and Turbopuffer to be enabled."
    raise DetailError(400, text)


@routes.add("GET", "/messages/{message_id}")
async def get_message(call: Call) -> list[Row]:
    """Return one message, as a list."""
    return [public(call.own("messages", "message_id"))]


@routes.add("GET", "/jobs/", "/jobs/active")
async def list_jobs(call: Call) -> list[Row]:
    """Return the actor's jobs; nothing makes any."""
    rows = call.store.own_rows("jobs", call.actor)
    return page([public(row) for row in rows], call.request.query_params)


@routes.add("GET", "/jobs/{job_id}")
@routes.add("DELETE", "/jobs/{job_id}")
@routes.add("PATCH", "/jobs/{job_id}/cancel")
async def get_job(call: Call) -> Row:
    """Return one job."""
    return public(call.own("jobs", "job_id"))
