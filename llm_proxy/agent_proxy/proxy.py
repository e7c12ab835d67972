"""The way of an agent's model call: as its user's own, but for how it proves whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

from accounts.plans.services import alimits_for
from accounts.principals.identify import identify_token
from gateway_core.errors import CallerError, Code, TokenRejected
from gateway_core.headers import first
from llm_proxy.agent_proxy.address import addressed
from llm_proxy.agent_proxy.attribution import agent_of
from llm_proxy.agent_proxy.listing import models_for_agents
from llm_proxy.agent_proxy.operations import CATALOGUE, LIST_MODELS
from llm_proxy.agent_proxy.prover import SCOPE
from llm_proxy.agent_proxy.secrets import PREFIX
from llm_proxy.describe import QUERY
from llm_proxy.proxy import ROUTE as LLM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from accounts.principals.principal import Principal
    from gateway_core.errors import GatewayError
    from gateway_core.proxy.exchange import Exchange

_BEARER: Final = b"bearer "
_MISSING: Final = "This route is for agents: it wants an agent secret, in the path or as Bearer."
_FOREIGN: Final = "This agent secret is another user's."
# By which Letta knows that it has to compact the conversation, whatever a provider calls it.
_TOO_LONG: Final = "context_length_exceeded"


async def _identify(exchange: Exchange) -> Principal:
    """Return the principal of the first secret that is right for the user in the path.

    There may be two: the key of Letta's provider, and that of the address when the agent was made,
    which is older after a change.
    """
    refusal = TokenRejected(_MISSING, code=Code.CALLER_TOKEN_MISSING)
    user_id = addressed(exchange.scope).user_id.lower()
    for secret in _secrets(exchange):
        try:
            principal = await identify_token(secret)
        except TokenRejected as error:
            refusal = error
            continue
        if str(principal.user_id) == user_id:
            return principal
        refusal = TokenRejected(_FOREIGN)
    raise refusal


def _secrets(exchange: Exchange) -> Iterator[bytes]:
    authorization = first(exchange.request_headers, b"authorization") or b""
    if authorization[: len(_BEARER)].lower() == _BEARER:
        token = authorization[len(_BEARER) :].strip()
        if token.startswith(PREFIX.encode()):
            yield token
    if secret := addressed(exchange.scope).secret:
        yield secret


async def _authorize(exchange: Exchange) -> None:
    if exchange.operation.name == LIST_MODELS:
        # As the administrator sees them: to a user's key LiteLLM does not say what patterns mean.
        exchange.headers = {"authorization": f"Bearer {settings.LITELLM_MASTER_KEY}"}
        exchange.query = QUERY
        return
    user_id = exchange.principal.user_id
    agent_id = await agent_of(user_id, addressed(exchange.scope).agent_id)
    if agent_id:
        exchange.record.facts["agent"] = agent_id
    await LLM.authorize(exchange)


def _translate(exchange: Exchange, status: int, body: bytes) -> GatewayError:
    error = LLM.translate(exchange, status, body)
    if error.code is Code.CALLER_CONTEXT_TOO_LONG:
        return CallerError(f"{error.detail} ({_TOO_LONG})", code=error.code)
    return error


def _reshape(exchange: Exchange) -> Callable[[Any], Awaitable[Any]] | None:
    if exchange.operation.name != LIST_MODELS:
        return None

    async def offered(listing: Any) -> Any:
        limits = await alimits_for(exchange.principal.user_id)
        return {"object": "list", "data": models_for_agents(listing, limits)}

    return offered


ROUTE: Final = replace(
    LLM,
    name="agents",
    scope=SCOPE,
    prefixes=("/api/v1/agents",),
    catalogue=CATALOGUE,
    identify=_identify,
    authorize=_authorize,
    translate=_translate,
    reshape=_reshape,
    # Without them a turn would end in the middle, and with it what was done so far.
    goes_on_when_short=True,
)
