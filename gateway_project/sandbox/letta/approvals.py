"""Tool calls that wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta import messages, threads
from gateway_project.sandbox.letta.problems import DetailError
from gateway_project.sandbox.letta.tool_runs import find_tool, use_tool

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Row
    from gateway_project.sandbox.letta.turns import Turn
    from gateway_project.sandbox.letta.world import World

_PENDING: Final = (
    "CONFLICT: Cannot send a new message: The agent is waiting for approval on a tool call. "
    "Please approve or deny the pending request before continuing."
)


def is_needed(world: World, agent: Row, name: str) -> bool:
    """Tell whether a person has to allow this tool to this agent."""
    for rule in agent["tool_rules"] or []:
        if rule.get("type") == "requires_approval" and rule.get("tool_name") == name:
            return True
    tool = find_tool(world, agent, name)
    return bool(tool and tool["default_requires_approval"])


def request(world: World, turn: Turn, asked: Row) -> None:
    """Let a tool call wait; the turn ends with it."""
    asked = asked | {"message_type": "approval_request_message", "otid": asked["id"]}
    turn.agent["_pending"] = asked
    turn.stop_reason = "requires_approval"
    threads.produce(world.store, turn, asked)
    turn.send(asked)


def refuse_while_pending(agent: Row, conversation_id: str | None) -> None:
    """Refuse a message to the agent's own thread while a tool call waits.

    Raises:
        DetailError: 409.
    """
    if agent["_pending"] is None or conversation_id is not None:
        return
    code, pending_id = "PENDING_APPROVAL", agent["_pending"]["id"]
    raise DetailError(409, {"code": code, "message": _PENDING, "pending_request_id": pending_id})


async def decide(world: World, turn: Turn, approval: Row) -> None:
    """Run the tool that waits, or tell the model that it may not."""
    asked, turn.agent["_pending"] = turn.agent["_pending"], None
    decision = (approval.get("approvals") or [approval])[0]
    answered = {
        "approve": decision.get("approve"),
        "approval_request_id": asked["id"],
        "approvals": approval.get("approvals"),
        "reason": decision.get("reason"),
    }
    run_id, step_id = turn.run["id"], asked["step_id"]
    row = messages.message("approval_response_message", run_id=run_id, step_id=step_id, **answered)
    threads.receive(world.store, turn, row)
    if decision.get("approve"):
        await use_tool(world, turn, step_id, asked["tool_call"])
        return
    text = f"Error: request to call tool denied. User reason: {decision.get('reason')}"
    call_id = asked["tool_call"]["tool_call_id"]
    returned = messages.tool_return(call_id, text, status="error", stderr=None)
    row = messages.message("tool_return_message", run_id=run_id, step_id=step_id, **returned)
    threads.produce(world.store, turn, row)
    turn.send(row)
