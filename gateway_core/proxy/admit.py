"""Whether a request may go on now: how many its caller makes, and has under way at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from django.conf import settings

from gateway_core.rates import LIMITER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_core.proxy.exchange import Exchange


@asynccontextmanager
async def admitted(exchange: Exchange) -> AsyncIterator[None]:
    """Count a request, and hold its place for the block. Its answer will say what is left.

    Raises:
        RateLimited, TooManyConcurrent: it may not go on now.
        GatewayError: what the route's ``quota`` raises.
    """
    if not settings.ENABLE_RATE_LIMITING:
        yield
        return
    quota = await exchange.route.quota(exchange)
    async with LIMITER.hold(str(exchange.principal.user_id), quota) as decision:
        exchange.record.headers = decision.fields()
        yield
