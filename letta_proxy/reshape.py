"""Letta's JSON answers before the caller sees them: owners noted, secrets and addresses gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from letta_proxy.catalogue.operation import CONFINED, operation_of
from letta_proxy.catalogue.shapes import UNTOUCHED
from letta_proxy.cloud import only_own, without_tags
from letta_proxy.handles import only_offered
from letta_proxy.mode import is_cloud
from letta_proxy.models import Kind
from letta_proxy.observe import note_usage
from letta_proxy.ownership import Created, forget_deleted, record_created, record_shown
from letta_proxy.pointers import places
from letta_proxy.policy.reading import WITH_EMBEDDINGS
from letta_proxy.provisioning import give_own_address
from letta_proxy.roster import tell_of_answer, tell_of_deletion
from letta_proxy.told import told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway_core.proxy.exchange import Exchange
    from letta_proxy.catalogue.operation import LettaOperation
    from letta_proxy.catalogue.shapes import Answer

_SUCCESS: Final = range(200, 300)


def reshape(exchange: Exchange) -> Callable[[Any], Awaitable[Any]] | None:
    """Return what looks at the answer, None when it may pass unseen."""
    operation = operation_of(exchange)
    is_seen = operation.creates or operation.shows or operation.streams or is_cloud()
    if not is_seen and operation.answer is UNTOUCHED:
        return None

    async def see(document: Any) -> Any:
        document = await only_own(exchange, document)
        if operation.creates:
            of = exchange.params.get("agent_id", "")
            made = created(operation, document, of)
            await record_created(exchange.principal.user_id, made)
            if made and not exchange.params:
                facts = exchange.record.facts
                facts["resource"] = f"{made[0].kind}:{made[0].upstream_id}"
            await tell_of_answer(exchange, document)
        if operation.sets_models:
            await give_own_address(exchange.principal.user_id, document)
        if operation.lists_models:
            document = await only_offered(exchange.principal, document)
        if operation.shows:
            await record_shown(exchange.principal.user_id, things(operation.shows, document, ""))
        if operation.streams and isinstance(document, dict):
            note_usage(exchange.record, document.get("usage"))
        blank(operation.answer, document, with_vectors=exchange.notes.get(WITH_EMBEDDINGS, False))
        return document

    return see


async def settle(exchange: Exchange) -> None:
    """Forget what Letta has deleted."""
    operation = operation_of(exchange)
    if operation and operation.deletes and exchange.upstream_status in _SUCCESS:
        name = operation.deletes
        kind = CONFINED.get(name) or Kind(operation.owners[name])
        await forget_deleted(kind, exchange.params[name])
        await tell_of_deletion(exchange, kind, exchange.params[name])


def created(operation: LettaOperation, document: Any, of: str = "") -> list[Created]:
    """Return the things that an answer says are new.

    Args:
        of: the agent in the path, that they go with where the answer names none.
    """
    is_agent = operation.creates.get("/id") is Kind.AGENT
    named = document if isinstance(document, dict) else {}
    return things(operation.creates, document, named.get("id" if is_agent else "agent_id") or of)


def things(patterns: Mapping[str, Kind], document: Any, agent_id: str) -> list[Created]:
    """Return the things whose ids stand at these patterns of a document."""
    return [
        Created(kind=kind, upstream_id=holder[key], agent_id=_goes_with(kind, holder, agent_id))
        for pattern, kind in patterns.items()
        for holder, key in places(document, pattern)
        if isinstance(holder[key], str)
    ]


def _goes_with(kind: Kind, thing: Any, agent_id: str) -> str:
    if kind is Kind.PASSAGE:
        return thing.get("archive_id") or thing.get("source_id") or ""
    return "" if isinstance(thing, dict) and thing.get("id") == agent_id else agent_id


def blank(answer: Answer, document: Any, *, with_vectors: bool) -> None:
    """Take out of a document what no caller gets."""
    for pattern in answer.blanks if with_vectors else (*answer.blanks, *answer.vectors):
        for holder, key in places(document, pattern):
            holder[key] = _nothing_for(key, holder[key])
    for pattern in answer.failures:
        for holder, key in places(document, pattern):
            holder[key] = told(holder[key])
    for pattern in answer.remarks:
        for holder, key in places(document, pattern):
            holder[key] = told(holder[key]) or holder[key]
    for pattern in answer.tags:
        for holder, key in places(document, pattern):
            holder[key] = without_tags(holder[key] or ())


def _nothing_for(key: Any, value: Any) -> Any:
    """A list stays a list and a variable's value a string: Letta's clients insist on those."""
    if isinstance(value, list):
        return []
    return "" if key == "value" else None
