"""How much of requests and answers an exchange has in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.room import USERS

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange


def hold(exchange: Exchange, size: int) -> None:
    """Count bytes that an exchange holds until its end.

    Raises:
        GatewayOverloaded: its user holds too many, or all together do.
    """
    if exchange.share is None:
        exchange.share = USERS.share(exchange.principal.user_id)
    exchange.share.take(size)


def let_go(exchange: Exchange) -> None:
    """Its bytes are free again."""
    if exchange.share is not None:
        exchange.share.let_go()
