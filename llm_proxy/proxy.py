"""The way of a model call: identified by us, paid for on the user's own virtual key."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils import timezone

from accounts.plans.rates import quota_for
from accounts.principals.identify import identify
from gateway_core.errors import BudgetExhausted, UpstreamCredentialRejected, UpstreamFailed
from gateway_core.headers import first
from gateway_core.logging import get_logger
from gateway_core.proxy.exchange import Route
from gateway_core.proxy.operations import BodyKind
from llm_proxy import refusals
from llm_proxy.client import connections
from llm_proxy.describe import QUERY, describes
from llm_proxy.operations import CATALOGUE
from llm_proxy.policy import FormPolicy, check_model_allowed, police
from llm_proxy.spent import budget_exhausted
from llm_proxy.usage.calls import ask_for_usage, call_headers, note_cost_of_failure
from llm_proxy.usage.observer import observe
from llm_proxy.virtual_keys.grants import grant_for
from llm_proxy.virtual_keys.services import remake_virtual_key
from llm_proxy.wording import readable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from accounts.principals.principal import Principal
    from gateway_core.errors import GatewayError
    from gateway_core.proxy.exchange import Exchange
    from llm_proxy.virtual_keys.grants import Grant

_log = get_logger("gateway.litellm")

# Where clients of Anthropic's and Azure's APIs put their key.
_KEY_HEADERS: Final = (b"x-api-key", b"api-key")
_GRANT: Final = "grant"
_KEY_IS_LOST: Final = "key is lost"


async def _identify(exchange: Exchange) -> Principal:
    headers = exchange.request_headers
    authorization = first(headers, b"authorization")
    if authorization is None:
        key = next((key for name in _KEY_HEADERS if (key := first(headers, name))), None)
        authorization = b"Bearer " + key if key else None
    return await identify(authorization, known=exchange.principal)


async def _authorize(exchange: Exchange) -> None:
    operation: Any = exchange.operation
    if operation.body is BodyKind.JSON:
        exchange.payload = police(operation, exchange.payload)
        exchange.record.facts["model"] = exchange.payload["model"]
        ask_for_usage(exchange)
    grant = await grant_for(exchange.principal)
    if operation.body is BodyKind.JSON:
        check_model_allowed(exchange.payload["model"], grant.allow_model)
    elif operation.body is BodyKind.FORM:
        facts = exchange.record.facts
        exchange.check_form_field = FormPolicy(operation, facts, grant.allow_model).check
    if operation.body is BodyKind.NONE:
        exchange.notes[_GRANT] = grant
        exchange.headers = {"authorization": f"Bearer {settings.LITELLM_MASTER_KEY}"}
        exchange.query = QUERY
    else:
        _pay_with(exchange, grant)


def _pay_with(exchange: Exchange, grant: Grant) -> None:
    exchange.notes[_GRANT] = grant
    exchange.headers = {"authorization": grant.authorization, **call_headers(exchange)}
    exchange.record.facts["virtual_key_id"] = str(grant.virtual_key_id)


def _reshape(exchange: Exchange) -> Callable[[Any], Awaitable[Any]] | None:
    if exchange.operation.body is not BodyKind.NONE:
        return None
    return describes(exchange.notes[_GRANT], "/".join(exchange.params.values()))


def _translate(exchange: Exchange, status: int, body: bytes) -> GatewayError:
    refusal = refusals.read(status, body, exchange.upstream_headers)
    error = refusals.meaning(refusal)
    if isinstance(error, UpstreamCredentialRejected):
        _log.error("credential rejected", kind=refusal.kind, said=readable(refusal.message))
    if isinstance(error, BudgetExhausted):
        return budget_exhausted(refusal.message, exchange.notes[_GRANT], timezone.now())
    if refusal.kind in refusals.KEY_LOST:
        exchange.notes[_KEY_IS_LOST] = True
        return UpstreamFailed(
            "Your key for model calls has to be made anew. Repeat the request.",
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            retry_after=1,
        )
    return error


async def _mend(exchange: Exchange) -> bool:
    """Have a key that LiteLLM has lost made again, under the value that we know it by."""
    if not exchange.notes.pop(_KEY_IS_LOST, False):
        return False
    await remake_virtual_key(exchange.principal, exchange.notes[_GRANT])
    _pay_with(exchange, await grant_for(exchange.principal))
    return True


async def _settle(exchange: Exchange) -> None:
    """Have the next request find the key that this one lacked and could not be repeated with."""
    note_cost_of_failure(exchange)
    if exchange.notes.pop(_KEY_IS_LOST, False):
        await remake_virtual_key(exchange.principal, exchange.notes[_GRANT])


ROUTE: Final = Route(
    name="llm",
    scope="llm",
    prefixes=("/api/v1/llm/v1", "/api/v1/llm"),
    upstream=lambda _operation: connections.upstream(),
    catalogue=CATALOGUE,
    identify=_identify,
    quota=quota_for,
    authorize=_authorize,
    translate=_translate,
    mend=_mend,
    reshape=_reshape,
    observe=observe,
    settle=_settle,
)
