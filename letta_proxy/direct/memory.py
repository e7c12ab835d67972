"""What an agent remembers: its blocks, and the passages of its archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway_core.errors import UpstreamAnswerInvalid, UpstreamFailed
from letta_proxy.catalogue import shapes
from letta_proxy.direct.agents import path_of
from letta_proxy.direct.calls import call, call_or_none
from letta_proxy.direct.pages import items
from letta_proxy.direct.policing import admitted
from letta_proxy.models import Kind
from letta_proxy.ownership import Created, forget_deleted_sync, record_created_sync
from letta_proxy.policy.bodies import memory
from letta_proxy.policy.bounds import refuse_unwieldy
from letta_proxy.policy.demands import Demands
from letta_proxy.policy.rules import Each
from letta_proxy.reshape import things
from letta_proxy.told import refusal_behind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

# Each comes with a vector of 42 KB (measured).
_PAGE: Final = 100
_PASSAGE: Final = ("text", "tags", "created_at")
_PASSAGES: Final = Each(memory.PASSAGE, most=100_000)


def read_passages(*, user_id: UUID, agent_id: str) -> Iterator[dict[str, Any]]:
    """Yield text, tags and time of every passage of an agent, oldest first."""
    target = f"{path_of(agent_id)}/archival-memory"
    for passage in items(user_id, target, page_size=_PAGE, ascending="true"):
        yield {name: passage.get(name) for name in _PASSAGE if passage.get(name)}


def policed_passages(passages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return passages built anew from what a passage may have.

    Raises:
        FieldForbidden, FieldInvalid: one has what it may not.
    """
    refuse_unwieldy(list(passages))
    admitted_passages: list[dict[str, Any]] = _PASSAGES.admit(
        list(passages), "/passages", Demands()
    )
    return admitted_passages


def add_passages(*, user_id: UUID, agent_id: str, passages: Sequence[Mapping[str, Any]]) -> None:
    """Put passages into an agent's archive; they are embedded anew, at the user's expense.

    The first one brings the archive with it, as with Letta itself.

    Raises:
        GatewayError: as ``direct.calls.call`` says, and why the user's texts are not embedded. Some
            passages may be there all the same.
    """
    if not passages:
        return
    first, *rest = (dict(passage) for passage in passages)
    body = admitted(user_id, memory.PASSAGE, first)
    made = _embedded(user_id, f"{path_of(agent_id)}/archival-memory", body)
    if not isinstance(made, list) or not made or not isinstance(made[0].get("archive_id"), str):
        raise UpstreamAnswerInvalid
    _record(user_id, agent_id, made)
    target = f"/v1/archives/{quote(made[0]['archive_id'], safe='')}/passages/batch"
    for start in range(0, len(rest), _PAGE):
        batch = admitted(user_id, memory.PASSAGES, {"passages": rest[start : start + _PAGE]})
        _record(user_id, agent_id, _embedded(user_id, target, batch))


def put_block(*, user_id: UUID, agent_id: str, block: Mapping[str, Any]) -> None:
    """Change the block of that label, or make it and attach it.

    Args:
        block: with ``label``, in the form of callers' bodies.
    """
    body = admitted(user_id, memory.BLOCK, dict(block))
    target = f"{path_of(agent_id)}/core-memory/blocks"
    label = quote(body["label"], safe="")
    if call_or_none(user_id, "GET", f"{target}/{label}") is not None:
        changes = {name: value for name, value in body.items() if name != "label"}
        call(user_id, "PATCH", f"{target}/{label}", payload=changes)
        return
    made = call(user_id, "POST", "/v1/blocks/", payload=body)
    created = Created(kind=Kind.BLOCK, upstream_id=made["id"], agent_id=agent_id)
    record_created_sync(user_id, [created])
    call(user_id, "PATCH", f"{target}/attach/{quote(made['id'], safe='')}")


def drop_block(*, user_id: UUID, agent_id: str, label: str) -> None:
    """Take the block of that label from an agent, and delete it unless another agent has it."""
    target = f"{path_of(agent_id)}/core-memory/blocks"
    block = call_or_none(user_id, "GET", f"{target}/{quote(label, safe='')}")
    if block is None:
        return
    block_id = quote(block["id"], safe="")
    call(user_id, "PATCH", f"{target}/detach/{block_id}")
    if not call_or_none(user_id, "GET", f"/v1/blocks/{block_id}/agents"):
        call_or_none(user_id, "DELETE", f"/v1/blocks/{block_id}")
        forget_deleted_sync(Kind.BLOCK, block["id"])


def tool_ids(*, user_id: UUID, names: Sequence[str]) -> list[str]:
    """Return the ids that tools of these names have in the user's organization.

    Raises:
        UpstreamAnswerInvalid: it lacks one.
    """
    rows = call(user_id, "GET", "/v1/tools/", params={"limit": 200})
    by_name = {row["name"]: row["id"] for row in rows}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UpstreamAnswerInvalid(f"Letta lacks tools: {', '.join(missing)}.")
    return [by_name[name] for name in names]


def _embedded(user_id: UUID, target: str, payload: Any) -> Any:
    try:
        return call(user_id, "POST", target, payload=payload)
    except UpstreamFailed as exc:
        raise refusal_behind(exc, user_id) from None


def _record(user_id: UUID, agent_id: str, made: Any) -> None:
    record_created_sync(user_id, things(shapes.NEW_PASSAGES, made, agent_id))
