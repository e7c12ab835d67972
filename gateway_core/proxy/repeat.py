"""Whether a request that has failed is sent once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.errors import UpstreamInterrupted, UpstreamUnreachable
from gateway_core.proxy.operations import BodyKind

if TYPE_CHECKING:
    from gateway_core.errors import UpstreamError
    from gateway_core.proxy.exchange import Exchange


async def may_repeat(exchange: Exchange, error: UpstreamError) -> bool:
    """Say whether to send a request again: nothing was done, or the route has mended the cause.

    A form can't be: it has streamed through.
    """
    if exchange.started or exchange.operation.body is BodyKind.FORM:
        return False
    if _did_nothing(exchange, error):
        return exchange.upstream.retries.spend()
    mend = exchange.route.mend
    return mend is not None and await mend(exchange)


def _did_nothing(exchange: Exchange, error: UpstreamError) -> bool:
    """Say whether the upstream, which has not answered, can have done nothing that matters."""
    if exchange.upstream_status:
        return False
    is_read = exchange.operation.method == "GET"
    return isinstance(error, UpstreamUnreachable) or (
        is_read and isinstance(error, UpstreamInterrupted)
    )
