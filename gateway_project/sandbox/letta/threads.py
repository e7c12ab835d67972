"""The messages of an agent's own thread, or of a conversation, as a turn sees and extends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_project.sandbox.letta.store import Row, Store
    from gateway_project.sandbox.letta.turns import Turn


def in_context(store: Store, turn: Turn) -> list[Row]:
    """Return what the model gets to see; older messages stay in the store, out of its sight."""
    rows = (store.anyones("messages", message_id) for message_id in turn.context_ids)
    return [row for row in rows if row is not None]


def receive(store: Store, turn: Turn, row: Row) -> None:
    """Add a message that was sent to the agent."""
    turn.received.append(_add(store, turn, row))


def produce(store: Store, turn: Turn, row: Row) -> None:
    """Add a message that the agent produced, to the thread and to the answer."""
    _add(store, turn, row)
    turn.produced.append(row)


def assign(turn: Turn, step_id: str) -> None:
    """Count what was sent as part of the turn's first step."""
    for row in turn.received:
        row["step_id"] = row["step_id"] or step_id


def _add(store: Store, turn: Turn, row: Row) -> Row:
    hidden = {"_agent_id": turn.agent["id"], "_conversation_id": turn.conversation_id}
    turn.context_ids.append(row["id"])
    return store.add("messages", row | hidden, turn.actor)
