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
    from collections.abc import Sequence

    from gateway_project.sandbox.letta.store import Actor, Row, Store
    from gateway_project.sandbox.letta.world import World

_KEPT_FLOATS: Final = 32
# As the real server, which halves what it sends at once from here to 1 (by its source).
_AT_ONCE: Final = 2048


async def embed(world: World, config: Row | None, text: str, actor: Actor) -> list[float]:
    """Return the first floats of a text's vector; see ``embed_all``."""
    (vector,) = await embed_all(world, config, [text], actor)
    return vector


async def embed_all(
    world: World, config: Row | None, texts: Sequence[str], actor: Actor
) -> list[list[float]]:
    """Return the first floats of each text's vector.

    The call carries the server's own key even when the endpoint is an organization's provider,
    as the real server's does.

    Raises:
        EmbeddingError: the endpoint gave no vector, however often it was asked.
    """
    endpoint = (config or {}).get("embedding_endpoint", BUILT_IN_ENDPOINT)
    if config is None or endpoint == BUILT_IN_ENDPOINT:
        return [_vector(text) for text in texts]
    if not _is_provider(world.store, endpoint, actor):
        world.outside.note_fetch(endpoint, why="embedding_endpoint", actor=actor, key="server")
        if not is_loopback(endpoint):
            return [_vector(text) for text in texts]
    vectors = await _asked(world, config, texts, at_once=_AT_ONCE)
    return [
        vector[:_KEPT_FLOATS] if isinstance(vector, list) else _vector(text)
        for text, vector in zip(texts, vectors, strict=True)
    ]


async def _asked(world: World, config: Row, texts: Sequence[str], *, at_once: int) -> list[object]:
    """Return the vectors; of what is refused each half is asked for by itself, to the last."""
    if len(texts) > at_once:
        parts = [texts[start : start + at_once] for start in range(0, len(texts), at_once)]
    else:
        try:
            return await model_http.embed(world.outside.client, config, texts, key=SERVER_KEY)
        except model_http.EmbeddingRefusedError as exc:
            if at_once == 1:
                raise EmbeddingError(str(exc)) from exc
        at_once //= 2
        middle = max(1, len(texts) // 2)
        parts = [part for part in (texts[:middle], texts[middle:]) if part]
    answers = [await _asked(world, config, part, at_once=at_once) for part in parts]
    return [vector for answer in answers for vector in answer]


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 - 0.5 for byte in digest[:_KEPT_FLOATS]]


def _is_provider(store: Store, endpoint: str, actor: Actor) -> bool:
    """Say whether nobody but an administrator can have named that endpoint."""
    bases = (url for provider in store.own_rows("providers", actor) for url in provider["_bases"])
    return any(endpoint == base or endpoint.startswith(f"{base}/") for base in bases)
