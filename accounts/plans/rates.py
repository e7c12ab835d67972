"""How often users may do what: by their plan, their own limits, and the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.plans.services import alimits_for

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange
    from gateway_core.rates import Quota


async def quota_for(exchange: Exchange) -> Quota:
    """Return how many requests like this one its caller may make.

    Raises as ``alimits_for`` does.
    """
    limits = await alimits_for(exchange.principal.user_id)
    return limits.quota(exchange.operation.counts_as)
