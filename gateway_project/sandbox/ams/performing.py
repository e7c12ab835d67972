"""A plan carried out in the sandbox's Letta."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from agents.blueprints import letta_body
from agents.upgrades.plan import Op
from agents.upgrades.states import ENVIRONMENT, TOOLS, file_of_state
from gateway_project.sandbox.ams.letta import ask

if TYPE_CHECKING:
    from starlette.requests import Request

    from agents.upgrades.plan import Plan, Step
    from gateway_project.sandbox.ams.state import Row

_SET: frozenset[str] = frozenset(
    {"system", "model", "embedding", "model_settings", "context_window_limit"}
)


async def perform(request: Request, agent_id: str, plan: Plan) -> None:
    """Do a plan's steps: blocks one by one, everything else together."""
    changes: Row = {}
    for step in plan.steps:
        if step.label:
            await _perform_on_block(request, agent_id, step)
        elif step.pointer == ENVIRONMENT:
            changes["secrets"] = step.after
        elif step.pointer == TOOLS:
            changes["tool_ids"] = await _tool_ids(request, step.after)
        else:
            body = letta_body(file_of_state(plan.after))
            changes |= {name: body[name] for name in body if name in _SET}
    if changes:
        await ask(request, "PATCH", f"/agents/{agent_id}", payload=changes)


async def _perform_on_block(request: Request, agent_id: str, step: Step) -> None:
    blocks = f"/agents/{agent_id}/core-memory/blocks"
    if step.op is Op.CHANGE:
        await ask(request, "PATCH", f"{blocks}/{quote(step.label)}", payload=step.after)
    elif step.op is Op.ADD:
        body = {"label": step.label, **step.after}
        made = await ask(request, "POST", "/blocks/", payload=body)
        await ask(request, "PATCH", f"{blocks}/attach/{made['id']}")
    else:
        gone = await ask(request, "GET", f"{blocks}/{quote(step.label)}")
        await ask(request, "PATCH", f"{blocks}/detach/{gone['id']}")
        await ask(request, "DELETE", f"/blocks/{gone['id']}")


async def _tool_ids(request: Request, wanted: list[str]) -> list[str]:
    listed = await ask(request, "GET", "/tools/?limit=200")
    ids = {tool["name"]: tool["id"] for tool in listed}
    return [ids[name] for name in wanted]
