"""Vectors of texts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta import model_http
from gateway_project.sandbox.letta.catalogue import BUILT_IN_ENDPOINT
from gateway_project.sandbox.letta.outside import is_loopback
from gateway_project.sandbox.letta.problems import EmbeddingError
from gateway_project.sandbox.letta.world import SERVER_KEY

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Actor, Row, Store
    from gateway_project.sandbox.letta.world import World

_KEPT_FLOATS: Final = 32
# As the real server, which halves the size of its batches from 2048 to 1 (measured).
_ATTEMPTS: Final = 12


async def embed(world: World, config: Row | None, text: str, actor: Actor) -> list[float]:
    """Return the first floats of a text's vector.

    The call carries the server's own key even when the endpoint is an organization's provider,
    as the real server's does.

    Raises:
        EmbeddingError: the endpoint gave no vector, however often it was asked.
    """
    endpoint = (config or {}).get("embedding_endpoint", BUILT_IN_ENDPOINT)
    if config is None or endpoint == BUILT_IN_ENDPOINT:
        return _vector(text)
    if not _is_provider(world.store, endpoint, actor):
        world.outside.note_fetch(endpoint, why="embedding_endpoint", actor=actor, key="server")
        if not is_loopback(endpoint):
            return _vector(text)
    fault = ""
    for _ in range(_ATTEMPTS):
        try:
            vector = await model_http.embed(world.outside.client, config, text, key=SERVER_KEY)
        except model_http.EmbeddingRefusedError as exc:
            fault = str(exc)
        else:
            return vector[:_KEPT_FLOATS] if isinstance(vector, list) else _vector(text)
    raise EmbeddingError(fault)


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 - 0.5 for byte in digest[:_KEPT_FLOATS]]


def _is_provider(store: Store, endpoint: str, actor: Actor) -> bool:
    """Say whether nobody but an administrator can have named that endpoint."""
    bases = (url for provider in store.own_rows("providers", actor) for url in provider["_bases"])
    return any(endpoint == base or endpoint.startswith(f"{base}/") for base in bases)
