"""Steps: one for each time that a turn asked the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_project.sandbox.letta.ids import new_id

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.model import Delta, Prompt
    from gateway_project.sandbox.letta.store import Row, Store
    from gateway_project.sandbox.letta.turns import Turn

_UNSET = (
    "completion_tokens",
    "prompt_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "completion_tokens_details",
    "prompt_tokens_details",
    "stop_reason",
    "tid",
    "trace_id",
    "request_id",
    "feedback",
    "project_id",
    "error_type",
    "error_data",
)


def begin(store: Store, turn: Turn) -> Row:
    """Add the step that now begins."""
    config = turn.agent["llm_config"]
    step = {
        "id": new_id("step"),
        "origin": None,
        "organization_id": turn.actor.organization_id,
        "provider_id": None,
        "run_id": turn.run["id"],
        "agent_id": turn.agent["id"],
        "provider_name": config.get("provider_name") or "openai",
        "provider_category": config.get("provider_category") or "base",
        "model": config["model"],
        "model_handle": config.get("handle"),
        "model_endpoint": config.get("model_endpoint"),
        "context_window_limit": config.get("context_window"),
        **dict.fromkeys(_UNSET),
        "tags": turn.agent["tags"],
        "messages": [],
        "status": "pending",
        "_request": None,
        "_response": None,
    }
    return store.add("steps", step, turn.actor)


def count(step: Row, delta: Delta) -> None:
    """Write the model's token counts into the step."""
    step |= {
        "prompt_tokens": delta.prompt_tokens,
        "completion_tokens": delta.completion_tokens,
        "total_tokens": delta.prompt_tokens + delta.completion_tokens,
    }


def trace(step: Row, prompt: Prompt, text: str) -> None:
    """Keep the end of what the model was asked, and what it said, for the step's trace."""
    step["_request"] = {"model": prompt.config["model"], "messages": prompt.messages[-2:]}
    step["_response"] = {"choices": [{"message": {"role": "assistant", "content": text}}]}


def finish(step: Row, *, status: str, stop_reason: str) -> None:
    """Write the step's outcome."""
    step |= {"status": status, "stop_reason": stop_reason}
