"""The route to Letta: how this app takes part in each step of the data plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from accounts.plans.rates import quota_for
from accounts.principals.identify import identify
from accounts.sessions.sensitive import require_live_session
from gateway_core.errors import ResourceNotFound
from gateway_core.headers import first
from gateway_core.proxy.exchange import Route
from letta_proxy import client
from letta_proxy.abandoned import cancel_abandoned
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.catalogue.operation import Use, operation_of
from letta_proxy.cloud import mark_as_own
from letta_proxy.cursors import hide_unlisted
from letta_proxy.handles import hold_to_key, renew_models, require_models
from letta_proxy.observe import StreamObserver
from letta_proxy.once import once
from letta_proxy.ownership import owns_all
from letta_proxy.policy.reading import read_body, read_path, read_query, refuse_closed
from letta_proxy.provisioning import letta_user_for
from letta_proxy.reshape import reshape, settle
from letta_proxy.roster import (
    expect_agent,
    refuse_shut,
    refuse_suspended_meanwhile,
    tell_of_end,
)
from letta_proxy.rules.enforce import refuse_ruled_out
from letta_proxy.told import refusal_behind
from letta_proxy.tools import require_allowed
from letta_proxy.translate import translate
from letta_proxy.turns import note_turn

if TYPE_CHECKING:
    from accounts.principals.principal import Principal
    from gateway_core.errors import GatewayError
    from gateway_core.proxy.exchange import Exchange, Observer
    from gateway_core.upstream import Upstream
    from letta_proxy.catalogue.operation import LettaOperation


async def _identify(exchange: Exchange) -> Principal:
    known: Principal | None = exchange.principal
    if known is not None:  # first: it counts for one whose token has expired meanwhile, too
        await refuse_suspended_meanwhile(exchange, known.user_id)
    return await identify(first(exchange.request_headers, b"authorization"), known=known)


async def _authorize(exchange: Exchange) -> None:
    """Let through what names nothing but the caller's own; set who the caller is to Letta."""
    refuse_closed(exchange)
    await refuse_ruled_out(exchange)
    if operation_of(exchange).is_sensitive:
        authorization = first(exchange.request_headers, b"authorization")
        await require_live_session(exchange.principal, authorization)
    user_id = exchange.principal.user_id
    exchange.headers = client.credentials(await letta_user_for(user_id))
    for read in (read_path, read_query, read_body):
        demands = read(exchange)
        if not await owns_all(user_id, demands.claims):
            raise ResourceNotFound
        await refuse_shut(exchange, demands.claims)
        await hide_unlisted(exchange, demands.cursors)
        await require_allowed(user_id, demands.tools)
        hold_to_key(exchange.principal, demands.models)
        await require_models(user_id, demands.models)
    if operation_of(exchange).lists_models:
        await renew_models(user_id)
    mark_as_own(exchange)
    await expect_agent(exchange)


def _translate(exchange: Exchange, status: int, body: bytes) -> GatewayError:
    """Say for Letta, where it keeps that to itself, that the user's texts were not embedded."""
    error = translate(exchange, status, body)
    if operation_of(exchange).use is Use.COST:
        return refusal_behind(error, exchange.principal.user_id)
    return error


def _observe(exchange: Exchange) -> Observer | None:
    return StreamObserver(exchange.record) if exchange.operation.streams else None


async def _settle(exchange: Exchange) -> None:
    cancel_abandoned(exchange)
    await note_turn(exchange)
    await tell_of_end(exchange)
    await settle(exchange)


def _upstream(operation: LettaOperation) -> Upstream:
    return client.turns() if operation.use is Use.COST else client.upstream()


ROUTE: Final = Route(
    name="letta",
    scope="letta",
    prefixes=("/api/v1/letta/v1", "/api/v1/letta"),
    upstream=_upstream,
    catalogue=CATALOGUE,
    identify=_identify,
    quota=quota_for,
    authorize=_authorize,
    translate=_translate,
    once=once,
    reshape=reshape,
    observe=_observe,
    settle=_settle,
)
