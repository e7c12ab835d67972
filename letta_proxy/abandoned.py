"""Runs that nobody hears any more: Letta goes on with them to the end, cost and all (measured)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
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
# By how much the clocks may differ.
_SKEW_SECONDS: Final = 5.0


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
        abandoned = _Abandoned(
            run_id=run_id,
            conversation_id=exchange.params.get("conversation_id", ""),
            agent_id=_agent_id(exchange.params, payload),
            since=time.time() - (time.monotonic() - exchange.record.started) - _SKEW_SECONDS,
            headers=dict(exchange.headers),
        )
        spawn(_cancel(abandoned))


def _is_message(operation: LettaOperation) -> bool:
    return operation.use is Use.COST and operation.streams


def _agent_id(params: dict[str, str], payload: dict[str, Any]) -> str:
    conversation_id = params.get("conversation_id", "")
    if conversation_id.startswith("agent-"):
        return conversation_id
    return str(params.get("agent_id") or payload.get("agent_id") or payload.get("model") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Abandoned:
    """What nobody waits for any more.

    Attributes:
        run_id: empty where Letta has not named it.
        conversation_id: empty where the message was for the agent itself.
        since: seconds since 1970; the run began no earlier.
        headers: for requests in its user's name.
    """

    run_id: str
    conversation_id: str
    agent_id: str
    since: float
    headers: dict[str, str]


async def _cancel(abandoned: _Abandoned) -> None:
    status = 0
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        try:
            status = await _try(abandoned)
        except GatewayError as exc:
            _log.warning("abandoned run not cancelled", agent=abandoned.agent_id, code=exc.code)
            return
        if status != HTTPStatus.CONFLICT:  # which means: nothing runs there
            break
    _log.info("abandoned run cancelled", agent=abandoned.agent_id, status=status)


async def _try(abandoned: _Abandoned) -> int:
    """Have Letta cancel once, and return its status: 409 where nothing of that kind runs."""
    agent_id, conversation_id = abandoned.agent_id, abandoned.conversation_id
    if conversation_id and not (agent_id and abandoned.run_id):
        query = f"?{urlencode({'agent_id': agent_id})}" if agent_id else ""
        return await _ask(
            abandoned, f"/v1/conversations/{quote(conversation_id, safe='')}/cancel{query}"
        )
    run_ids = [abandoned.run_id] if abandoned.run_id else await _candidates(abandoned)
    if not run_ids:
        return HTTPStatus.CONFLICT
    target = f"/v1/agents/{quote(agent_id, safe='')}/messages/cancel"
    return await _ask(abandoned, target, {"run_ids": run_ids})


async def _ask(abandoned: _Abandoned, target: str, body: Any = None) -> int:
    upstream = client.upstream()
    status, _ = await upstream.fetch("POST", target, headers=abandoned.headers, payload=body)
    return status


async def _candidates(abandoned: _Abandoned) -> list[str]:
    """Return the agent's runs that may be the one that Letta has not named.

    Not all that run there: others may be heard, or meant to go on in the background.
    """
    query = urlencode({"agent_id": abandoned.agent_id, "active": "true"})
    status, runs = await client.upstream().fetch(
        "GET", f"/v1/runs/?{query}", headers=abandoned.headers
    )
    if status != HTTPStatus.OK or not isinstance(runs, list):
        return []
    return [
        run["id"]
        for run in runs
        if not run.get("background") and _epoch(run["created_at"]) >= abandoned.since
    ]


def _epoch(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
