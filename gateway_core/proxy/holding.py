"""How much of requests and answers this process has in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core.room import Room

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange

# Of users, by their ids: on the control plane, too.
USERS: Final = Room(lambda: settings.MAX_HELD_BYTES)


def hold(exchange: Exchange, size: int) -> None:
    """Count bytes that an exchange holds until its end.

    Raises:
        GatewayOverloaded: its user holds too many, or all together do.
    """
    USERS.take(exchange.principal.user_id, size)
    exchange.held += size


def let_go(exchange: Exchange) -> None:
    """Its bytes are free again."""
    if exchange.held:
        USERS.give_back(exchange.principal.user_id, exchange.held)
        exchange.held = 0
