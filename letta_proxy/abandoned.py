"""Runs that nobody hears any more: Letta goes on with them to the end, cost and all (measured)."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from gateway_core.errors import GatewayError
from gateway_core.logging import get_logger
from gateway_core.tasks import spawn
from letta_proxy import client
from letta_proxy.catalogue.operation import Use, operation_of
from letta_proxy.observe import StreamObserver

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.catalogue.operation import LettaOperation

_log = get_logger("letta.abandoned")
# Seconds before each attempt: a caller may leave before Letta has begun with the run.
_PAUSES: Final = (0.0, 1.0, 5.0)


def cancel_abandoned(exchange: Exchange) -> None:
    """Have Letta cancel what a caller who has left is no longer waiting for; returns at once.

    So with a stream that the gateway has ended, as it stops or its caller may not go on; there only
    the run that the stream has named, as others of the agent may have who hears them. What was
    asked for in the background is meant to go on.
    """
    if not exchange.is_sent or not _is_message(operation_of(exchange)):
        return
    payload = exchange.payload if isinstance(exchange.payload, dict) else {}
    if payload.get("background"):
        return
    observer = exchange.observer
    run_id = observer.run_id if isinstance(observer, StreamObserver) else ""
    is_broken_off = bool(run_id and exchange.record.error_code)
    if exchange.client_gone or is_broken_off:
        spawn(_cancel(*_target(exchange.params, payload, run_id), dict(exchange.headers)))


def _is_message(operation: LettaOperation) -> bool:
    return operation.use is Use.COST and operation.streams


def _target(params: dict[str, str], payload: dict[str, Any], run_id: str) -> tuple[str, Any]:
    """Return where and with what to cancel: the run if it is known, else what runs there."""
    conversation_id = params.get("conversation_id", "")
    if conversation_id.startswith("agent-"):
        agent_id = conversation_id
    else:
        agent_id = params.get("agent_id") or payload.get("agent_id") or payload.get("model") or ""
    if conversation_id and not (agent_id and run_id):
        query = f"?{urlencode({'agent_id': agent_id})}" if agent_id else ""
        return f"/v1/conversations/{quote(conversation_id, safe='')}/cancel{query}", None
    body = {"run_ids": [run_id]} if run_id else {}
    return f"/v1/agents/{quote(agent_id, safe='')}/messages/cancel", body


async def _cancel(target: str, body: Any, headers: dict[str, str]) -> None:
    status = 0
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        try:
            status, _ = await client.upstream().fetch("POST", target, headers=headers, payload=body)
        except GatewayError as exc:
            _log.warning("abandoned run not cancelled", target=target, code=exc.code)
            return
        if status != HTTPStatus.CONFLICT:  # which means: nothing runs there
            break
    _log.info("abandoned run cancelled", target=target, status=status)
