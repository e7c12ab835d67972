"""Reading a request by the row of its operation: what goes on, and which ids it names.

Path, query and body are read one after the other, each when the ids before it are confirmed:
somebody else's thing is not there, whatever else is wrong with a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from gateway_core.errors import FieldForbidden, RequestMalformed
from letta_proxy.catalogue import refusal
from letta_proxy.catalogue.operation import (
    CONFINED,
    CURSORS,
    EMBEDDINGS_PARAMETER,
    QUERY_OWNER_RULES,
    Within,
    operation_of,
)
from letta_proxy.mode import is_cloud
from letta_proxy.models import Kind
from letta_proxy.policy.bounds import refuse_unwieldy
from letta_proxy.policy.demands import Demands, require_id
from letta_proxy.policy.rules import invalid, shown

if TYPE_CHECKING:
    from gateway_core.proxy.exchange import Exchange

_MOST_PARAMETERS: Final = 200
_MOST_DIGITS: Final = 9  # Letta fails at what its database can't hold, and at less than none
# Letta reads the file alone; older clients send the others along.
_FORM_FIELDS: Final = frozenset({"file", "name", "duplicate_handling"})
# The conversation that every agent has without having been made; its agent is named elsewhere.
_DEFAULT: Final = "default"
# Notes that later steps read.
WITH_EMBEDDINGS: Final = "with_embeddings"


def refuse_closed(exchange: Exchange) -> None:
    """Stop at an operation that is known and not offered.

    Raises:
        OperationNotOffered: it is one.
    """
    operation = operation_of(exchange)
    if not operation.is_offered:
        raise refusal(operation.method, operation.path, operation.why_not)


def read_path(exchange: Exchange) -> Demands:
    """Return the ids that stand in the path."""
    demands = Demands()
    for name, rule in operation_of(exchange).owners.items():
        if not isinstance(rule, Within):
            _read_id(exchange, demands, rule, name)
        elif rule is Within.ORGANIZATION and is_cloud():
            demands.add(CONFINED[name], exchange.params[name], name)
        elif rule is Within.ORGANIZATION:
            require_id(exchange.params[name])
    return demands


def read_query(exchange: Exchange) -> Demands:
    """Set the query to what may go on, and return the ids in it.

    Raises:
        FieldForbidden, RequestMalformed: as they say.
    """
    demands = Demands()
    raw = exchange.scope["query_string"]
    if not raw:
        return demands
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
                f"The query parameter {shown(name)!r} is not known here. Remove it.",
                param=shown(name),
            )
        if name == EMBEDDINGS_PARAMETER:
            exchange.notes[WITH_EMBEDDINGS] = value == "true"
            continue
        if (kind := QUERY_OWNER_RULES.get(name)) is not None:
            demands.add(kind, value, name)
        if name in CURSORS:
            demands.cursors.add(value)
        if "\0" in value:  # Letta's database can't hold one, and fails
            raise invalid(name, "may not have a NUL character")
        if name == "limit" and not _is_count(value):
            raise invalid(name, "must be a whole number of at most 9 digits")
        forwarded.append((name, value))
    exchange.query = urlencode(forwarded)
    return demands


def read_body(exchange: Exchange) -> Demands:
    """Set the payload to what may go on, and return the ids in it.

    Raises:
        FieldForbidden, FieldInvalid: as they say.
    """
    operation = operation_of(exchange)
    demands = Demands()
    if operation.fields is not None:
        refuse_unwieldy(exchange.payload)
        exchange.payload = operation.fields.admit(exchange.payload, "", demands)
    exchange.check_form_field = _check_form_field
    if exchange.params.get("conversation_id") == _DEFAULT:
        _require_agent(exchange)
    return demands


def _read_id(exchange: Exchange, demands: Demands, kind: Kind, name: str) -> None:
    """Note an id; where a conversation is meant there may also be an agent, or the default one."""
    value = exchange.params[name]
    if kind is Kind.CONVERSATION and value.startswith("agent-"):
        demands.add(Kind.AGENT, value, name)
    elif kind is not Kind.CONVERSATION or value != _DEFAULT or not _may_name_agent(exchange):
        demands.add(kind, value, name)


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS


def _may_name_agent(exchange: Exchange) -> bool:
    operation = operation_of(exchange)
    return "agent_id" in operation.query or "agent_id" in getattr(operation.fields, "fields", ())


def _require_agent(exchange: Exchange) -> None:
    """Letta takes the agent of the default conversation from the query or the body."""
    named = exchange.payload if operation_of(exchange).fields else dict(parse_qsl(exchange.query))
    if not named or not (named.get("agent_id") or named.get("run_id")):
        raise invalid("agent_id", "is required with the conversation 'default'")


def _check_form_field(name: str, _value: str | None) -> None:
    if name not in _FORM_FIELDS:
        where = shown(name)
        raise FieldForbidden(f"The form field {where!r} may not be set. Remove it.", param=where)
