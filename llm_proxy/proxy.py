"""The way of a model call: identified by us, paid for on the user's own virtual key."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

from accounts import principals
from gateway_core.errors import UpstreamCredentialRejected, UpstreamFailed
from gateway_core.headers import first
from gateway_core.logging import get_logger
from gateway_core.proxy.exchange import Route, Timeouts
from gateway_core.proxy.operations import BodyKind
from llm_proxy import client, refusals
from llm_proxy.describe import describes_model
from llm_proxy.operations import CATALOGUE
from llm_proxy.policy import FormPolicy, police
from llm_proxy.usage.calls import ask_for_usage, call_headers, note_cost_of_failure
from llm_proxy.usage.observer import observe
from llm_proxy.virtual_keys.services import credential_for, remake_virtual_key
from llm_proxy.wording import readable

if TYPE_CHECKING:
    from accounts.principals import Principal
    from gateway_core.errors import GatewayError
    from gateway_core.proxy.exchange import Exchange

_log = get_logger("gateway.litellm")

# Where clients of Anthropic's and Azure's APIs put their key.
_KEY_HEADERS: Final = (b"x-api-key", b"api-key")
_KEY_IS_LOST: Final = "key is lost"


async def _identify(exchange: Exchange) -> Principal:
    headers = exchange.request_headers
    authorization = first(headers, b"authorization")
    if authorization is None:
        key = next((key for name in _KEY_HEADERS if (key := first(headers, name))), None)
        authorization = b"Bearer " + key if key else None
    return await principals.identify(authorization)


async def _authorize(exchange: Exchange) -> None:
    operation: Any = exchange.operation
    if operation.body is BodyKind.JSON:
        exchange.payload = police(operation, exchange.payload)
        exchange.record.facts["model"] = exchange.payload["model"]
        ask_for_usage(exchange)
    elif operation.body is BodyKind.FORM:
        exchange.check_form_field = FormPolicy(operation, exchange.record.facts).check
    exchange.headers = {"authorization": await credential_for(exchange.principal.user_id)}
    if operation.body is not BodyKind.NONE:
        exchange.headers |= call_headers(exchange)


def _translate(exchange: Exchange, status: int, body: bytes) -> GatewayError:
    refusal = refusals.read(status, body, exchange.upstream_headers)
    error = refusals.meaning(refusal)
    if isinstance(error, UpstreamCredentialRejected):
        _log.error("credential rejected", kind=refusal.kind, said=readable(refusal.message))
    if refusal.kind == refusals.KEY_UNKNOWN:
        exchange.notes[_KEY_IS_LOST] = True
        return UpstreamFailed(
            "Your key for model calls has to be made anew. Repeat the request.",
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            retry_after=1,
        )
    return error


async def _settle(exchange: Exchange) -> None:
    """Have a key that LiteLLM has lost made again, under the value that we know it by."""
    note_cost_of_failure(exchange)
    if _KEY_IS_LOST in exchange.notes:
        await remake_virtual_key(exchange.principal.user_id)


def _timeouts() -> Timeouts:
    return Timeouts(
        first_byte=settings.LITELLM_TIMEOUT,
        idle=settings.UPSTREAM_IDLE_TIMEOUT,
        total=settings.LITELLM_TIMEOUT,
    )


ROUTE: Final = Route(
    name="llm",
    scope="llm",
    prefixes=("/api/v1/llm/v1", "/api/v1/llm"),
    client=client.upstream,
    catalogue=CATALOGUE,
    timeouts=_timeouts,
    max_concurrent=lambda: settings.LITELLM_MAX_CONCURRENT,
    identify=_identify,
    authorize=_authorize,
    translate=_translate,
    reshape=describes_model,
    observe=observe,
    settle=_settle,
)
