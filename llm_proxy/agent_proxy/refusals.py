"""Why a user's texts were not embedded a moment ago.

Letta keeps that to itself: it answers whatever needed the vectors with "unknown error" (measured).
So each process remembers it for as long as such an answer takes. Any of them may have refused.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from gateway_core.cache import LocalCache, invalidate, on_invalidate
from gateway_core.errors import Code

_SUBJECT: Final = "refused embedding"
# Letta asks twelve times before it gives up.
_SECONDS: Final = 10.0

_recent: LocalCache[UUID, Code] = LocalCache(_SUBJECT, ttl=lambda: _SECONDS, max_entries=20_000)


async def note_refusal(user_id: UUID, code: Code) -> None:
    """Have every process know why a user's embedding was refused."""
    if _recent.get(user_id) is not code:
        await asyncio.to_thread(invalidate, _SUBJECT, f"{user_id} {code}")


def recent_refusal(user_id: UUID) -> Code | None:
    """Return why a user's embedding was refused last, if that was just now."""
    return _recent.get(user_id)


def _hear(said: str) -> None:
    user_id, code = said.split(" ")
    _recent.put(UUID(user_id), Code(code))


on_invalidate(_SUBJECT, _hear)
