"""How much of requests and answers this process has in memory: what is more is refused in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from gateway_core.errors import GatewayOverloaded

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange

_held = 0


def hold(exchange: Exchange, size: int) -> None:
    """Count bytes that an exchange holds until its end.

    Raises:
        GatewayOverloaded: all exchanges together hold too many.
    """
    global _held  # noqa: PLW0603 - the memory is the process's
    if _held + size > settings.MAX_HELD_BYTES:
        raise GatewayOverloaded(retry_after=1)
    _held += size
    exchange.held += size


def let_go(exchange: Exchange) -> None:
    """Its bytes are free again."""
    global _held  # noqa: PLW0603 - as above
    _held -= exchange.held
    exchange.held = 0


def held() -> int:
    """Return how many bytes are held now."""
    return _held
