"""Letta's JSON answers before the caller sees them: owners noted, secrets and addresses gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from letta_proxy.catalogue.operation import operation_of
from letta_proxy.catalogue.shapes import UNTOUCHED
from letta_proxy.models import Kind
from letta_proxy.observe import note_usage
from letta_proxy.ownership import Created, forget_deleted, record_created
from letta_proxy.pointers import places, values
from letta_proxy.policy.reading import WITH_EMBEDDINGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.catalogue.operation import LettaOperation
    from letta_proxy.catalogue.shapes import Answer

_SUCCESS: Final = range(200, 300)


def reshape(exchange: Exchange) -> Callable[[Any], Awaitable[Any]] | None:
    """Return what looks at the answer, None when it may pass unseen."""
    operation = operation_of(exchange)
    if not operation.creates and operation.answer is UNTOUCHED and not operation.streams:
        return None

    async def see(document: Any) -> Any:
        if operation.creates:
            await record_created(exchange.principal.user_id, created(operation, document))
        if operation.streams and isinstance(document, dict):
            note_usage(exchange.record, document.get("usage"))
        _blank(operation.answer, document, with_vectors=exchange.notes.get(WITH_EMBEDDINGS, False))
        return document

    return see


async def settle(exchange: Exchange) -> None:
    """Forget what Letta has deleted."""
    operation = operation_of(exchange)
    if operation and operation.deletes and exchange.upstream_status in _SUCCESS:
        kind = operation.owners[operation.deletes]
        await forget_deleted(Kind(kind), exchange.params[operation.deletes])


def created(operation: LettaOperation, document: Any) -> list[Created]:
    """Return the things that an answer says are new."""
    if not isinstance(document, dict):
        return []
    is_agent = operation.creates.get("/id") is Kind.AGENT
    agent_id = document.get("id" if is_agent else "agent_id") or ""
    return [
        Created(
            kind=kind,
            upstream_id=upstream_id,
            agent_id="" if upstream_id == agent_id else agent_id,
        )
        for pattern, kind in operation.creates.items()
        for upstream_id in values(document, pattern)
        if isinstance(upstream_id, str)
    ]


def _blank(answer: Answer, document: Any, *, with_vectors: bool) -> None:
    for pattern in answer.blanks if with_vectors else (*answer.blanks, *answer.vectors):
        for holder, key in places(document, pattern):
            holder[key] = _nothing_for(key, holder[key])


def _nothing_for(key: Any, value: Any) -> Any:
    """A list stays a list and a variable's value a string: Letta's clients insist on those."""
    if isinstance(value, list):
        return []
    return "" if key == "value" else None
