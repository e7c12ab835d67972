"""The end of a proxied request, on every way out and once: observer, route, log, metrics, audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core import access
from gateway_core.errors import CallerGone
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange

_log = get_logger("gateway.proxy")


async def settle(exchange: Exchange) -> None:
    """Conclude an exchange; whoever calls it first does it.

    That is the relay, just before it sends the last bytes: what a caller has had an answer to is
    on record, whatever happens to this process next.
    """
    if exchange.is_settled:
        return
    exchange.is_settled = True
    try:
        if exchange.observer is not None:
            exchange.observer.finish()
        if exchange.route.settle is not None:
            await exchange.route.settle(exchange)
    except Exception:  # noqa: BLE001 - the caller's answer does not depend on it
        _log.exception("settling failed")
    finally:
        if exchange.client_gone:
            exchange.record.error_code = exchange.record.error_code or CallerGone.code
        access.conclude(exchange.record)
