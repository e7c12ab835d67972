"""Vectors of texts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta import model_http
from gateway_project.sandbox.letta.catalogue import BUILT_IN_ENDPOINT
from gateway_project.sandbox.letta.outside import is_loopback
from gateway_project.sandbox.letta.problems import UnknownError
from gateway_project.sandbox.letta.world import SERVER_KEY

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Actor, Row
    from gateway_project.sandbox.letta.world import World

_KEPT_FLOATS: Final = 32


async def embed(world: World, config: Row | None, text: str, actor: Actor) -> list[float]:
    """Return the first floats of a text's vector.

    The call carries the server's own key even when the endpoint is an organization's provider,
    as the real server's does.

    Raises:
        UnknownError: the endpoint gave no vector.
    """
    endpoint = (config or {}).get("embedding_endpoint", BUILT_IN_ENDPOINT)
    if config is None or endpoint == BUILT_IN_ENDPOINT:
        return _vector(text)
    if not _is_provider(world, endpoint, actor):
        world.outside.note_fetch(endpoint, why="embedding_endpoint", actor=actor, key="server")
        if not is_loopback(endpoint):
            return _vector(text)
    vector = await model_http.embed(world.outside.client, config, text, key=SERVER_KEY)
    if not isinstance(vector, list):
        raise UnknownError
    return vector[:_KEPT_FLOATS]


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 - 0.5 for byte in digest[:_KEPT_FLOATS]]


def _is_provider(world: World, endpoint: str, actor: Actor) -> bool:
    providers = world.store.own_rows("providers", actor)
    return any(provider["base_url"] == endpoint for provider in providers)
