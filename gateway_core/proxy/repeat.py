"""Whether a request that has failed is sent once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.errors import UpstreamUnreachable
from gateway_core.proxy.operations import BodyKind

if TYPE_CHECKING:
    from gateway_core.errors import UpstreamError
    from gateway_core.proxy.exchange import Exchange


async def may_repeat(exchange: Exchange, error: UpstreamError) -> bool:
    """Say whether to send a request again: it never got there, or the route has mended the cause.

    A form can't be: it has streamed through. What a server drops together with an idle connection,
    the HTTP client repeats itself where the method allows that. A mended cause takes nothing of the
    retry budget: the upstream has done nothing yet, and when it has lost all keys at once, each
    user's next call goes on all the same.
    """
    if exchange.started or exchange.operation.body is BodyKind.FORM:
        return False
    if isinstance(error, UpstreamUnreachable) and not exchange.upstream_status:
        return exchange.upstream.retries.spend()
    mend = exchange.route.mend
    return mend is not None and await mend(exchange)
