"""Sending messages to an agent and reading its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import agents, engine, model, sending
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError
from gateway_project.sandbox.letta.replies import follow, result
from gateway_project.sandbox.letta.store import Row, public

if TYPE_CHECKING:
    from starlette.responses import Response

routes: Final = Routes()

STREAMING: Final = "send_message_streaming"
PLAIN: Final = "send_message"


@routes.add("GET", "/agents/{agent_id}/messages")
async def list_messages(call: Call) -> list[Row]:
    """Return the agent's own thread."""
    agent = call.own("agents", "agent_id")
    conversation_id = call.query("conversation_id")
    rows = [
        public(m)
        for m in call.store.own_rows("messages", call.actor)
        if m["_agent_id"] == agent["id"]
        and (not conversation_id or m["_conversation_id"] == conversation_id)
    ]
    return page(rows, call.request.query_params, limit=100)


@routes.add("POST", "/agents/{agent_id}/messages")
async def send_message(call: Call) -> Response | Row:
    """Send and wait for the answer, or stream it when ``streaming`` is set by a new SDK."""
    given = await call.body()
    sending.check(given)
    if given.get("streaming"):
        if not call.from_sdk_v1:
            raise DetailError(422, "streaming=true is only supported for SDK v1.0+ clients.")
        return await _stream(call, given)
    agent = call.own("agents", "agent_id")
    if not _approves(given):
        engine.refuse_while_pending(agent, None)
    turn = await sending.start(call.world, agent, call.actor, given, kind=PLAIN)
    return await result(turn)


@routes.add("POST", "/agents/{agent_id}/messages/stream")
async def stream_message(call: Call) -> Response:
    """Send and stream the answer."""
    given = await call.body()
    sending.check(given)
    return await _stream(call, given)


@routes.add("POST", "/agents/{agent_id}/messages/async")
async def send_message_async(call: Call) -> Row:
    """Send and return the run at once."""
    given = await call.body()
    sending.check(given)
    agent = call.own("agents", "agent_id")
    turn = await sending.start(
        call.world, agent, call.actor, given, kind="send_message_async", background=True
    )
    return public(turn.run) | {"status": "created"}


@routes.add("POST", "/agents/{agent_id}/messages/cancel")
async def cancel(call: Call) -> dict[str, str]:
    """Cancel the named runs, or the agent's last one.

    As the real server: the runs need not be this agent's, nor the agent the caller's; a foreign
    run is reported as failed and goes on.
    """
    given = await call.body()
    actor = call.actor
    run_ids = given.get("run_ids")
    if not run_ids:
        last = call.world.turns.last_of_agent(call.path("agent_id"))
        run_ids = [last.run["id"]] if last else []
    return {run_id: _cancel(call, run_id, actor.organization_id) for run_id in run_ids}


@routes.add("PATCH", "/agents/{agent_id}/reset-messages")
async def reset_messages(call: Call) -> Row | None:
    """Forget the thread."""
    agent = call.own("agents", "agent_id")
    agents.start_thread(call.store, agent, call.actor)
    return None if call.from_sdk_v1 else agents.show(call.store, agent)


@routes.add("PATCH", "/agents/{agent_id}/messages/{message_id}")
async def update_message(call: Call) -> Row:
    """Rewrite a message's text."""
    given = await call.body()
    call.own("agents", "agent_id")
    message = call.own("messages", "message_id")
    message["content"] = given.get("content", message.get("content"))
    return public(message)


@routes.add("POST", "/agents/{agent_id}/generate")
async def generate(call: Call) -> Row:
    """Ask the model outside of any thread."""
    given = await call.body(["prompt"])
    agent = call.own("agents", "agent_id")
    prompt = model.Prompt(
        config=agent["llm_config"],
        messages=[{"role": "user", "content": given["prompt"]}],
        tools=[],
        user=call.actor.id,
        stream=False,
    )
    text, tokens = "", 0
    async for delta in model.answer(prompt, call.world.compose):
        text += delta.text
        tokens += delta.prompt_tokens
    usage = {
        "message_type": "usage_statistics",
        "completion_tokens": 10,
        "prompt_tokens": tokens,
        "total_tokens": tokens + 10,
        "step_count": 0,
        "run_ids": None,
    }
    return {"content": text, "model": agent["llm_config"]["model"], "usage": usage}


@routes.add("POST", "/agents/{agent_id}/summarize")
async def summarize(call: Call) -> Row:
    """Replace the thread by its system prompt."""
    agent = call.own("agents", "agent_id")
    before = len(agent["message_ids"])
    agent["message_ids"] = agent["message_ids"][:1]
    return {"summary": "", "num_messages_before": before, "num_messages_after": 1}


@routes.add("POST", "/chat/completions")
async def chat_completions(call: Call) -> Response:
    """Stream an agent's answer in OpenAI's format; the agent's id stands in ``model``."""
    given = await call.body(["model", "messages"])
    if not given.get("stream"):
        text = "Non-streaming chat completions not yet implemented. Please set stream=true."
        raise DetailError(400, f"INVALID_ARGUMENT: {text}")
    agent = call.store.own("agents", given["model"], call.actor)
    sent = {"messages": given["messages"][-1:], "stream_tokens": True, "include_pings": False}
    turn = await sending.start(call.world, agent, call.actor, sent, kind=STREAMING)
    return follow(call.world, turn, openai_model=agent["llm_config"]["model"])


async def _stream(call: Call, given: dict[str, Any]) -> Response:
    agent = call.own("agents", "agent_id")
    turn = await sending.start(
        call.world,
        agent,
        call.actor,
        given,
        kind=STREAMING,
        background=bool(given.get("background")),
    )
    return follow(call.world, turn)


def _cancel(call: Call, run_id: str, organization_id: str) -> str:
    run = call.store.anyones("runs", run_id)
    if run is None or run["_org"] != organization_id:
        return "failed"
    if turn := call.world.turns.get(run_id):
        turn.cancel()
    return "cancelled"


def _approves(given: dict[str, Any]) -> bool:
    return any(m.get("type") == "approval" for m in given.get("messages") or [])
