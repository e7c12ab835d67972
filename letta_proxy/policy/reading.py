"""Reading a request by the row of its operation: what goes on, and which ids it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from gateway_core.errors import FieldForbidden, RequestMalformed
from letta_proxy.catalogue import refusal
from letta_proxy.catalogue.operation import (
    EMBEDDINGS_PARAMETER,
    QUERY_OWNER_RULES,
    Within,
    operation_of,
)
from letta_proxy.models import Kind
from letta_proxy.policy.demands import Demands
from letta_proxy.policy.rules import invalid

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange

_MOST_PARAMETERS: Final = 200
# Letta reads the file alone; older clients send the others along.
_FORM_FIELDS: Final = frozenset({"file", "name", "duplicate_handling"})
# Notes that later steps read.
WITH_EMBEDDINGS: Final = "with_embeddings"


def read(exchange: Exchange) -> Demands:
    """Set query and payload to what may go on, and return every id that the request names.

    Raises:
        OperationNotOffered: the operation is closed.
        FieldForbidden, FieldInvalid, RequestMalformed: as they say.
    """
    operation = operation_of(exchange)
    if not operation.is_offered:
        raise refusal(operation.method, exchange.record.path, operation.why_not)
    demands = Demands()
    _read_query(exchange, demands)
    if operation.fields is not None:
        exchange.payload = operation.fields.admit(exchange.payload, "", demands)
    exchange.form_fields = _FORM_FIELDS.__contains__
    _read_path(exchange, demands)
    return demands


def _read_path(exchange: Exchange, demands: Demands) -> None:
    for name, rule in operation_of(exchange).owners.items():
        if not isinstance(rule, Within):
            _read_id(exchange, demands, rule, name)


def _read_id(exchange: Exchange, demands: Demands, kind: Kind, name: str) -> None:
    value = exchange.params[name]
    if kind is Kind.CONVERSATION and value.startswith("agent-"):
        demands.add(Kind.AGENT, value, name)
    elif kind is Kind.CONVERSATION and value == "default" and _may_name_agent(exchange):
        _require_agent(exchange)
    else:
        demands.add(kind, value, name)


def _may_name_agent(exchange: Exchange) -> bool:
    operation = operation_of(exchange)
    return "agent_id" in operation.query or "agent_id" in getattr(operation.fields, "fields", ())


def _require_agent(exchange: Exchange) -> None:
    """Letta takes the agent of the default conversation from the query or the body."""
    if "agent_id" in operation_of(exchange).query:
        if "agent_id=" in exchange.query:
            return
    elif exchange.payload and (exchange.payload.get("agent_id") or exchange.payload.get("run_id")):
        return
    raise invalid("agent_id", "is required with the conversation 'default'")


def _read_query(exchange: Exchange, demands: Demands) -> None:
    raw = exchange.scope["query_string"]
    if not raw:
        return
    try:
        given = parse_qsl(
            raw.decode("latin-1"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as exc:
        raise RequestMalformed("The query can't be read.") from exc
    forwarded = []
    for name, value in given:
        if name not in operation_of(exchange).query:
            raise FieldForbidden(
                f"The query parameter {name!r} is not known here. Remove it.", param=name
            )
        if name == EMBEDDINGS_PARAMETER:
            exchange.notes[WITH_EMBEDDINGS] = value == "true"
            continue
        if (kind := QUERY_OWNER_RULES.get(name)) is not None:
            demands.add(kind, value, name)
        forwarded.append((name, value))
    exchange.query = urlencode(forwarded)
