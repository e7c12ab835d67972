"""Folders."""

from __future__ import annotations

from typing import Final

from letta_proxy.policy.bodies.members import ANY, CHUNK, EMBEDDING, USE_EMBEDDING
from letta_proxy.policy.rules import Fields, Rule

_FOLDER: Final[dict[str, Rule]] = {
    "name": ANY,
    "description": ANY,
    "instructions": ANY,
    "metadata": ANY,
    "embedding_config": USE_EMBEDDING,
}
CREATE: Final = Fields(fields=_FOLDER | {"embedding": EMBEDDING, "embedding_chunk_size": CHUNK})
UPDATE: Final = Fields(fields=_FOLDER)
