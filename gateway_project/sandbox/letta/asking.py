"""Whom a turn asks: the built-in model, the organization's own, or any that a caller has named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_project.sandbox.letta import messages, model, model_errors, model_http, threads
from gateway_project.sandbox.letta.catalogue import BUILT_IN_ENDPOINT, providers_of
from gateway_project.sandbox.letta.outside import is_loopback
from gateway_project.sandbox.letta.world import SERVER_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_project.sandbox.letta.model import Delta, Prompt
    from gateway_project.sandbox.letta.store import Actor
    from gateway_project.sandbox.letta.turns import Turn
    from gateway_project.sandbox.letta.world import World


def prompt_of(world: World, turn: Turn) -> Prompt:
    """Return what the model is asked next. Foreign tools are in it, as on the real server."""
    tools = (world.store.anyones("tools", tool_id) for tool_id in turn.agent["_tool_ids"])
    return model.Prompt(
        config=turn.agent["llm_config"],
        messages=messages.as_prompt(threads.in_context(world.store, turn)),
        tools=[{"type": "function", "function": tool["json_schema"]} for tool in tools if tool],
        user=turn.actor.id,
        stream=turn.stream_tokens,
    )


async def ask(world: World, actor: Actor, prompt: Prompt) -> AsyncIterator[Delta]:
    """Yield the model's answer.

    Raises:
        ModelError: the model failed.
        ContextExceededError: the prompt is too long for it.
    """
    endpoint = prompt.config.get("model_endpoint") or BUILT_IN_ENDPOINT
    if endpoint == BUILT_IN_ENDPOINT:
        answer = model.answer(prompt, world.compose)
    else:
        key = _provider_key(world, actor, prompt) or _leak(world, actor, endpoint)
        answer = model_http.answer(world.outside.client, prompt, key=key)
    async for delta in answer:
        yield delta


def _provider_key(world: World, actor: Actor, prompt: Prompt) -> str | None:
    """Return the key of the provider that the model is said to be of, wherever the prompt goes."""
    if prompt.config.get("provider_category") != "byok":
        return None
    for provider in providers_of(world.store, actor):
        if provider["name"] == prompt.config.get("provider_name"):
            return str(provider["api_key_enc"])
    return None


def _leak(world: World, actor: Actor, endpoint: str) -> str:
    """Return the server's own key: as the real server, for whatever endpoint a caller named.

    Raises:
        ModelError: the endpoint is not on this machine, where nothing really goes.
    """
    world.outside.note_fetch(endpoint, why="model_endpoint", actor=actor, key="server")
    if not is_loopback(endpoint):
        raise model_errors.no_connection()
    return SERVER_KEY
