"""From an Agent File with its variables put in to the body that Letta makes an agent from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# What an agent is made from, and what a later version is compared with. Not tool_env, which may
# hold secrets.
_KEPT: Final = ("engine", "memory_layout", "tools", "init_messages")
# The name of a hyperparameter in an Agent File, and in Letta's ``model_settings``.
MODEL_SETTINGS: Final = {
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "parallel_tool_calls": "parallel_tool_calls",
}
# Without these, naming one setting changes others: Letta fills in defaults of its own that differ
# from those of an agent without settings (measured).
USUAL_SETTINGS: Final = {
    "provider_type": "openai",
    "strict": False,
    "reasoning": {"reasoning_effort": "minimal"},
}


def letta_body(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of Letta's creation body a filled Agent File says."""
    engine = document["engine"]
    parameters = engine.get("hyperparams") or {}
    body: dict[str, Any] = {
        "system": document["persona"]["system_prompt"],
        "model": engine["model"],
        "memory_blocks": blocks_in(document),
        "tools": list(document.get("tools") or ()),
        "include_base_tools": False,
    }
    if engine.get("embedding"):
        body["embedding"] = engine["embedding"]
    settings = {
        theirs: parameters[name] for name, theirs in MODEL_SETTINGS.items() if name in parameters
    }
    if settings:
        body["model_settings"] = {**USUAL_SETTINGS, **settings}
    if "context_window" in parameters:
        body["context_window_limit"] = parameters["context_window"]
    if "init_messages" in document:
        body["initial_message_sequence"] = [dict(one) for one in document["init_messages"]]
    return body


def blocks_in(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks that an agent of a filled Agent File begins with."""
    layout = document.get("memory_layout") or {}
    return [dict(block) for block in layout.get("blocks") or ()]


def kept_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is remembered of a filled Agent File: the base of later comparisons."""
    kept = {name: document[name] for name in _KEPT if name in document}
    kept["persona"] = {"system_prompt": document["persona"]["system_prompt"]}
    return kept
