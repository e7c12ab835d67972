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
    the HTTP client repeats itself where the method allows that. When too much has been repeated,
    the cause is mended all the same, for the next request.
    """
    if exchange.started or exchange.operation.body is BodyKind.FORM:
        return False
    if not isinstance(error, UpstreamUnreachable) or exchange.upstream_status:
        mend = exchange.route.mend
        if mend is None or not await mend(exchange):
            return False
    return exchange.upstream.retries.spend()
