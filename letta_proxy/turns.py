"""Agent turns: what the usage records of requests that have an agent think are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import UpstreamTimeout
from letta_proxy.catalogue import shapes
from letta_proxy.catalogue.operation import Use, operation_of
from letta_proxy.models import Kind
from letta_proxy.ownership import Claim, agents_behind

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.catalogue.operation import LettaOperation

_SUCCESS: Final = range(200, 300)
_AGENT: Final = "agent-"


async def note_turn(exchange: Exchange) -> None:
    """Note that a turn has begun, and whose, once it is over for its caller.

    That is so when Letta has not refused it, also when the caller did not wait for its answer. Its
    tokens are noted where the answer tells them.
    """
    if not _makes_turn(operation_of(exchange)) or not _has_begun(exchange):
        return
    facts = exchange.record.facts
    facts["turn"] = True
    claim = _thread(exchange)
    agents = await agents_behind(exchange.principal.user_id, claim) if claim else ()
    if len(agents) == 1:
        facts["agent"] = agents[0]


def _makes_turn(operation: LettaOperation | None) -> bool:
    if operation is None or operation.use is not Use.COST:
        return False
    return operation.streams or operation.creates is shapes.NEW_RUN


def _has_begun(exchange: Exchange) -> bool:
    if exchange.upstream_status:
        return exchange.upstream_status in _SUCCESS
    return exchange.client_gone or exchange.record.error_code == UpstreamTimeout.code


def _thread(exchange: Exchange) -> Claim | None:
    """Return the conversation or agent that the message went to."""
    payload: Any = exchange.payload if isinstance(exchange.payload, dict) else {}
    named = (
        exchange.params.get("agent_id"),
        exchange.params.get("conversation_id"),
        payload.get("agent_id"),
        payload.get("model"),
    )
    agent_id = next((one for one in named if one and str(one).startswith(_AGENT)), None)
    if agent_id:
        return Claim(Kind.AGENT, agent_id)
    conversation_id = exchange.params.get("conversation_id")
    return Claim(Kind.CONVERSATION, conversation_id) if conversation_id else None
