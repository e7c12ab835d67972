"""Who makes a request, and whether what they came with opens this route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.errors import ScopeMissing

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange


async def identify(exchange: Exchange) -> None:
    """Note the principal; again, while the request is under way, when something has changed.

    Raises:
        ScopeMissing: the credential is for other routes.
        GatewayError: what the route's ``identify`` raises.
    """
    principal = await exchange.route.identify(exchange)
    exchange.principal = principal
    exchange.record.belongs_to(principal.user_id, principal.api_key_id)
    scope = exchange.route.scope
    if principal.scopes is not None and scope not in principal.scopes:
        raise ScopeMissing(f"This key lacks the scope {scope!r}. Use one that has it.")
