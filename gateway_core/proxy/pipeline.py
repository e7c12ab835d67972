"""The way of a proxied request, top to bottom. Each step is one call; none reaches back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core import context, metrics
from gateway_core.errors import (
    DatabaseUnavailable,
    GatewayError,
    InternalError,
    RequestMalformed,
    UpstreamError,
)
from gateway_core.logging import get_logger
from gateway_core.memory import MEMORY
from gateway_core.postgresql.away import AWAY
from gateway_core.proxy.admit import admitted
from gateway_core.proxy.body import take_in
from gateway_core.proxy.exchange import Exchange
from gateway_core.proxy.forward import forward
from gateway_core.proxy.guard import Guard
from gateway_core.proxy.holding import let_go
from gateway_core.proxy.identify import identify
from gateway_core.proxy.operations import BodyKind, split_path
from gateway_core.proxy.relay import refuse, relay
from gateway_core.proxy.repeat import may_repeat
from gateway_core.proxy.settle import settle

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Receive, Scope, Send
    from gateway_core.proxy.exchange import Route

_log = get_logger("gateway.proxy")


def proxy(route: Route) -> Application:
    """Return the ASGI application of a route."""
    in_flight = metrics.IN_FLIGHT.labels(route.name)

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _begin(route, scope, receive, send)
        in_flight.inc()
        try:
            await _carry(exchange)
        except GatewayError as error:
            await refuse(exchange, error)
        except AWAY:
            await refuse(exchange, DatabaseUnavailable())
        except Exception:  # noqa: BLE001 - the outermost handler
            _log.exception("unexpected failure")
            await refuse(exchange, InternalError())
        finally:
            in_flight.dec()
            let_go(exchange)
            await settle(exchange)

    return handle


async def _carry(exchange: Exchange) -> None:
    route = exchange.route
    await identify(exchange)
    _match(exchange)
    if not route.goes_on_when_short:
        MEMORY.refuse()
    async with admitted(exchange):
        exchange.upstream.breaker.check()
        await take_in(exchange)
        await (_go_on(exchange) if route.once is None else route.once(exchange, _go_on))


async def _go_on(exchange: Exchange) -> None:
    await exchange.route.authorize(exchange)
    await _exchange(exchange)


async def _exchange(exchange: Exchange) -> None:
    """Forward and relay; once more when what made it fail is over."""
    exchange.upstream.retries.pay_in()
    try:
        await _attempt(exchange)
    except UpstreamError as error:
        if not await may_repeat(exchange, error):
            raise
        await _attempt(exchange)


async def _attempt(exchange: Exchange) -> None:
    """Forward and relay when it is this user's turn, until something ends it."""
    upstream, user_id = exchange.upstream, exchange.principal.user_id
    async with upstream.breaker.watch(str(user_id)) as call, Guard(exchange) as guard:
        if exchange.operation.body is not BodyKind.FORM:
            guard.listen()
        async with upstream.bulkhead.slot(user_id):
            call.begin()
            response = await forward(exchange, guard, call)
            is_whole = False
            try:
                await relay(exchange, response, guard.deadline)
                is_whole = True
            finally:
                response.close(reusable=is_whole)


def _begin(route: Route, scope: Scope, receive: Receive, send: Send) -> Exchange:
    record = context.begin(scope)
    record.route = route.name
    return Exchange(
        route=route,
        scope=scope,
        receive=receive,
        send=send,
        record=record,
        request_headers=list(scope["headers"]),
    )


def _match(exchange: Exchange) -> None:
    raw = exchange.scope.get("raw_path") or exchange.scope["path"].encode()
    for prefix in exchange.route.prefixes:
        tail = raw.removeprefix(prefix.encode())
        if len(tail) != len(raw) and tail[:1] in (b"/", b""):
            break
    else:
        raise RequestMalformed("The path is encoded where it need not be. Write it plainly.")
    catalogue = exchange.route.catalogue
    exchange.operation, exchange.params = catalogue.match(
        exchange.scope["method"],
        split_path(tail, names_have_slashes=catalogue.names_have_slashes),
    )
    exchange.upstream = exchange.route.upstream(exchange.operation)
    exchange.record.operation = exchange.operation.name
    exchange.target = exchange.operation.target(exchange.params)
