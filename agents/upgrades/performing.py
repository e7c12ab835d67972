"""One step of a plan, done in Letta. Doing it twice is as good as doing it once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.blueprints import USUAL_SETTINGS
from agents.upgrades.plan import Op
from agents.upgrades.proposing import existing
from agents.upgrades.states import (
    CONTEXT_WINDOW,
    EMBEDDING,
    ENGINE,
    ENVIRONMENT,
    MODEL,
    SETTINGS_AT,
    SYSTEM,
    TOOLS,
    state_of_agent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agents.drivers.interface import AgentManager
    from agents.models import Agent
    from agents.upgrades.plan import Step


def perform(step: Step, *, agent: Agent, driver: AgentManager) -> bool:
    """Do a step, unless the agent has meanwhile written where it would; say whether it was done.

    Raises:
        GatewayError: as ``AgentManager`` says.
    """
    document = existing(driver, agent)
    if step.label:
        return _perform_on_block(step, document, agent=agent, driver=driver)
    is_environment = step.pointer == ENVIRONMENT
    driver.apply(
        user_id=agent.user_id,
        agent_id=agent.agent_id,
        tag=agent.tag,
        body={} if is_environment else _body(step, document),
        environment=step.after if is_environment else None,
        document=document,
    )
    return True


def _perform_on_block(
    step: Step, document: Mapping[str, Any], *, agent: Agent, driver: AgentManager
) -> bool:
    now = state_of_agent(document, {}).blocks.get(step.label)
    if not _is_untouched(step, now):
        return False
    user_id, agent_id = agent.user_id, agent.agent_id
    if step.op is Op.REMOVE:
        driver.drop_block(user_id=user_id, agent_id=agent_id, label=step.label)
    else:
        block = {"label": step.label, **step.after}
        driver.put_block(user_id=user_id, agent_id=agent_id, block=block)
    return True


def _is_untouched(step: Step, now: Mapping[str, Any] | None) -> bool:
    """Say whether a block holds what the step knows of, done or not; only values are learned."""
    if now is None:
        return step.op is not Op.CHANGE
    known = [side["value"] for side in (step.before, step.after) if side and "value" in side]
    return not known or now["value"] in known


def _body(step: Step, document: Mapping[str, Any]) -> dict[str, Any]:
    if step.pointer == SYSTEM:
        return {"system": step.after}
    if step.pointer == TOOLS:
        return {"tools": step.after}
    assert step.pointer == ENGINE, step.pointer  # noqa: S101 - there are no others
    body = {
        name: step.after[pointer]
        for pointer, name in ((MODEL, "model"), (EMBEDDING, "embedding"))
        if pointer in step.after
    }
    if CONTEXT_WINDOW in {*step.before, *step.after}:
        body["context_window_limit"] = step.after.get(CONTEXT_WINDOW)
    settings = {
        name: step.after[pointer] for pointer, name in SETTINGS_AT.items() if pointer in step.after
    }
    if settings:
        before = document.get("model_settings") or {}
        body["model_settings"] = {**USUAL_SETTINGS, **before, **settings}
    return body
