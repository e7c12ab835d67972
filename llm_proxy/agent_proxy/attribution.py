"""Which agent a model call belongs to, as its address says. It is for the books, not for access."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gateway_core.errors import GatewayError
from gateway_core.postgresql.away import AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

_owners: list[Callable[[UUID, str], Awaitable[bool]]] = []


def register_owner_check(owns: Callable[[UUID, str], Awaitable[bool]]) -> None:
    """Have ``owns`` say whether an agent is a user's. The app that keeps agents does this."""
    _owners.append(owns)


async def agent_of(user_id: UUID, agent_id: str) -> str:
    """Return the agent if it is the user's, else nothing.

    So it is when nobody can say: no call fails for its books.
    """
    if agent_id:
        with contextlib.suppress(GatewayError, *AWAY):
            for owns in _owners:
                if await owns(user_id, agent_id):
                    return agent_id
    return ""
