"""What is noted of a model call, and asked for, before it goes out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway_core import context
from gateway_core.errors import UpstreamUnreachable
from llm_proxy.usage.observer import USAGE_UNASKED

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange

_SUFFIX_DIGITS: Final = 12
_CALL_ID: Final = re.compile(rf"([\w.-]{{8,64}})-[0-9a-f]{{{_SUFFIX_DIGITS}}}", re.ASCII).fullmatch
_REFUSALS: Final = frozenset(range(400, 500)) - {408}
_OPTIONS: Final = "stream_options"
_ASKS: Final = "include_usage"


def call_headers(exchange: Exchange) -> dict[str, str]:
    """Return the headers that LiteLLM files the call by, and note them for its usage record.

    Its log has the call id in every row of a call, whatever became of it, also when the caller left
    and when this process is killed. LiteLLM drops a row whose id it has seen before (that of a
    failed call, say), so it must not be one that a caller can repeat.
    """
    facts = exchange.record.facts
    facts["call_id"] = f"{exchange.record.request_id}-{context.random_hex(_SUFFIX_DIGITS)}"
    return {"x-litellm-call-id": facts["call_id"]}


def request_id_of(call_id: str) -> str:
    """Return the id of the request that a call belonged to; empty when the gateway made none."""
    found = _CALL_ID(call_id)
    return found[1] if found else ""


def ask_for_usage(exchange: Exchange) -> None:
    """Have a stream bring its usage; the observer takes it out for who did not ask.

    LiteLLM asks the provider for it in any case.
    """
    operation: Any = exchange.operation
    payload = exchange.payload
    if not operation.tells_usage_if_asked or payload.get("stream") is not True:
        return
    options = payload.get(_OPTIONS)
    if options is None:
        options = {}
    if not isinstance(options, dict) or options.get(_ASKS) is True:
        return
    payload[_OPTIONS] = {**options, _ASKS: True}
    exchange.notes[USAGE_UNASKED] = True


def note_cost_of_failure(exchange: Exchange) -> None:
    """Note that a call which never got to a model has cost nothing.

    That is so when there was no connection, and when LiteLLM refused the caller's key, budget or
    limit: then it does not name the call in its answer. Any other failed call may have cost
    something, whatever the cost header says (measured: 0 for one that timed out and was billed).
    """
    record = exchange.record
    status = exchange.upstream_status
    if "call_id" not in record.facts or not record.error_code:
        return
    is_refused = status in _REFUSALS and "x-litellm-call-id" not in exchange.upstream_headers
    if is_refused or (status == 0 and record.error_code == UpstreamUnreachable.code):
        record.facts["cost"] = 0.0
