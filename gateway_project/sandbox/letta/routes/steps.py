"""Steps, single messages and jobs."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta import shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError
from gateway_project.sandbox.letta.store import Row, public

routes: Final = Routes()


@routes.add("GET", "/steps/")
async def list_steps(call: Call) -> list[Row]:
    """Answer 400, as the real server does to any query."""
    _ = call.actor
    ascending = call.query("order") == "asc"
    text = f"Argument order does not match type typing.Optional[str]; is {ascending} of type"
    raise DetailError(400, f"{text} <class 'bool'>")


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
        "template_id": None,
        "base_template_id": None,
        "provider_id": None,
        "project_id": None,
    }


@routes.add("GET", "/steps/{step_id}/trace")
async def get_step_trace(call: Call) -> Row | None:
    """Return what the model was asked and said; for a foreign step nothing, with 200."""
    step = call.store.anyones("steps", call.path("step_id"))
    if step is None or step["_org"] != call.actor.organization_id:
        return None
    unset = ("call_type", "source", "compaction_settings", "billing_context")
    config = {"model": step["model"], "model_endpoint": step["model_endpoint"]}
    return {
        **shapes.authorship(call.actor),
        **dict.fromkeys(unset),
        "id": step["id"].replace("step-", "provider_trace-"),
        "request_json": step["_request"] or {},
        "response_json": step["_response"] or {},
        "step_id": step["id"],
        "agent_id": step["agent_id"],
        "agent_tags": step["tags"],
        "run_id": step["run_id"],
        "org_id": step["organization_id"],
        "user_id": call.actor.id,
        "llm_config": config,
    }


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
    return page(rows, call.request.query_params, limit=100, cursors="time")


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
