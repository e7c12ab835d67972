"""Requests to Letta that come with an ``Idempotency-Key``: sent on once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway_core.idempotency.carry import carry_once
from letta_proxy.catalogue.operation import operation_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_core.proxy.exchange import Carry, Exchange

# Which member of the body asks for a stream, and what Letta does without it. Others always stream.
_ASKED_BY: Final[Mapping[str, tuple[str, bool]]] = {
    "send_message": ("streaming", False),
    "send_conversation_message": ("streaming", True),
    "create_chat_completion": ("stream", False),
}


async def once(exchange: Exchange, carry: Carry) -> None:
    """Forward a request, or answer it as before when its key has been sent before."""
    await carry_once(exchange, carry, is_streamed=is_streamed(exchange))


def is_streamed(exchange: Exchange) -> bool:
    """Say whether Letta will answer with an event stream."""
    operation = operation_of(exchange)
    if not operation.streams:
        return False
    member, otherwise = _ASKED_BY.get(operation.name, ("", True))
    body = exchange.payload if isinstance(exchange.payload, dict) else {}
    return bool(body.get(member, otherwise))
