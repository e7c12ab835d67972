"""How much of requests and answers this process has in memory: what is more is refused in time.

Whoever holds something has to leave as much as that to others: one user holds half of all that
there is at the most, another one half of the rest. So nobody's large bodies keep out everybody's
small ones.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from django.conf import settings

from gateway_core.errors import GatewayOverloaded

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway_core.proxy.exchange import Exchange

_held_by: Counter[Hashable] = Counter()
_held = 0


def hold(exchange: Exchange, size: int) -> None:
    """Count bytes that an exchange holds until its end.

    Raises:
        GatewayOverloaded: its user holds too many, or all together do.
    """
    global _held  # noqa: PLW0603 - the memory is the process's
    user = exchange.principal.user_id
    if _held_by[user] + size > settings.MAX_HELD_BYTES - _held - size:
        raise GatewayOverloaded(retry_after=1)
    _held += size
    _held_by[user] += size
    exchange.held += size


def let_go(exchange: Exchange) -> None:
    """Its bytes are free again."""
    global _held  # noqa: PLW0603 - as above
    if not exchange.held:
        return
    user = exchange.principal.user_id
    _held -= exchange.held
    _held_by[user] -= exchange.held
    if not _held_by[user]:
        del _held_by[user]
    exchange.held = 0


def held() -> int:
    """Return how many bytes are held now."""
    return _held
