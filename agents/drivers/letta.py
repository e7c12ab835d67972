"""What both drivers do in Letta itself: agents live there, whoever manages them."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from agents.drivers.interface import Made, after_effect
from agents.snapshots import Snapshot, body_of, with_initial_blocks
from gateway_core.errors import FieldInvalid, ResourceNotFound
from letta_proxy import services as letta

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from agents.drivers.interface import CopyOptions, Order
    from letta_proxy.services import FoundAgent

# Of what a snapshot's body says, what only a creation takes.
_ONLY_AT_CREATION = ("agent_type", "tools", "memory_blocks", "include_base_tools", "tags")
# Where a template says what stands here in Letta's bodies.
_PLACES = {"/model": "/engine/model", "/embedding": "/engine/embedding"}
# Letta makes the others of these anew when it is sent one of them (measured).
_TOGETHER = ("model", "model_settings", "context_window_limit")


class LettaAgents:
    """The methods of a driver that need no templates."""

    upgrades_elsewhere = False

    def copy(self, order: Order, source_id: str, options: CopyOptions) -> Made:
        """Make an agent like another one: see ``AgentManager``."""
        taken = self.snapshot(
            user_id=order.user_id, agent_id=source_id, with_messages=options.with_messages
        )
        if not options.with_memory:
            blocks = with_initial_blocks(taken.body["memory_blocks"], options.initial_blocks)
            taken = Snapshot(body={**taken.body, "memory_blocks": blocks}, messages=taken.messages)
        environment = self.environment(user_id=order.user_id, agent_id=source_id)
        return self.restore(order, taken, environment)

    def restore(self, order: Order, snapshot: Snapshot, environment: Mapping[str, str]) -> Made:
        """Make an agent from a snapshot: see ``AgentManager``."""
        user_id, thread = order.user_id, letta.policed_messages(snapshot.messages)
        passages = letta.policed_passages(snapshot.passages)
        body = {**snapshot.body, **named(order)}
        make = partial(letta.create_agent, user_id=user_id, tag=order.tag, secrets=environment)
        if thread:
            make = partial(
                letta.create_agent_with_messages,
                user_id=user_id,
                tag=order.tag,
                secrets=environment,
                messages=thread,
            )
        document = make(body=body)
        with after_effect():
            letta.add_passages(user_id=user_id, agent_id=document["id"], passages=passages)
        return Made(document=document)

    def snapshot(self, *, user_id: UUID, agent_id: str, with_messages: bool) -> Snapshot:
        """Return all that an agent is: see ``AgentManager``."""
        document = _existing(user_id, agent_id)
        messages = []
        if with_messages:
            messages = letta.read_messages(user_id=user_id, agent_id=agent_id)
        return Snapshot(
            body=body_of(document),
            passages=tuple(letta.read_passages(user_id=user_id, agent_id=agent_id)),
            messages=tuple(messages),
        )

    def apply(  # noqa: PLR0913 - the parts of a change
        self,
        *,
        user_id: UUID,
        agent_id: str,
        tag: str,
        body: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Bring an agent to what a body says: see ``AgentManager``."""
        now = body_of(document or _existing(user_id, agent_id))
        changes = {name: body[name] for name in body if name not in _ONLY_AT_CREATION}
        if any(name in changes for name in _TOGETHER):
            changes |= {n: body.get(n, now.get(n)) for n in _TOGETHER if body.get(n, now.get(n))}
        if "tags" in body:
            changes["tags"] = body["tags"]
        if "tools" in body:
            changes["tool_ids"] = letta.tool_ids(user_id=user_id, names=body["tools"])
        if "memory_blocks" in body:
            _apply_blocks(user_id, agent_id, now["memory_blocks"], body["memory_blocks"])
        return letta.change_agent(
            user_id=user_id, agent_id=agent_id, body=changes, tag=tag, secrets=environment
        )

    def put_block(self, *, user_id: UUID, agent_id: str, block: Mapping[str, Any]) -> None:
        """Change a block, or make it: see ``AgentManager``."""
        letta.put_block(user_id=user_id, agent_id=agent_id, block=block)

    def drop_block(self, *, user_id: UUID, agent_id: str, label: str) -> None:
        """Take a block away: see ``AgentManager``."""
        letta.drop_block(user_id=user_id, agent_id=agent_id, label=label)

    def delete(self, *, user_id: UUID, agent_id: str) -> None:
        """Delete an agent: see ``AgentManager``."""
        letta.delete_agent(user_id=user_id, agent_id=agent_id)

    def find(self, *, user_id: UUID, tag: str) -> list[FoundAgent]:
        """Return the user's agents with a tag."""
        return list(letta.list_agents(user_id=user_id, tag=tag))

    def agents_of(self, user_id: UUID) -> Iterator[FoundAgent]:
        """Yield all of the user's agents."""
        return letta.list_agents(user_id=user_id)

    def read(self, *, user_id: UUID, agent_id: str) -> dict[str, Any] | None:
        """Return Letta's document of an agent, None when it is gone."""
        return letta.read_agent(user_id=user_id, agent_id=agent_id)

    def environment(self, *, user_id: UUID, agent_id: str) -> dict[str, str]:
        """Return what an agent's tools see, secrets included: see ``AgentManager``."""
        return letta.read_environment(user_id=user_id, agent_id=agent_id)

    def receive(self, *, user_id: UUID, agent_id: str) -> dict[str, Any] | None:
        """Return Letta's document of an agent that is to be the user's: see ``AgentManager``."""
        return letta.receive_agent(user_id=user_id, agent_id=agent_id)


def named(order: Order) -> dict[str, Any]:
    """Return what of a creation body an order says."""
    return {
        "name": order.name,
        "description": order.description,
        "metadata": dict(order.metadata),
        "tags": list(order.tags),
    }


@contextmanager
def in_words_of_template() -> Iterator[None]:
    """Say of a model that is not there where the template names it.

    Nothing else that a template says can be missing: it names no ids.
    """
    try:
        yield
    except ResourceNotFound as exc:
        where = _PLACES.get(exc.param or "", "/engine/model")
        raise FieldInvalid(
            f"The template's model is not available here. {exc.detail}",
            param=where,
            errors=[{"pointer": where, "message": "is not available here"}],
        ) from exc


def _existing(user_id: UUID, agent_id: str) -> dict[str, Any]:
    document = letta.read_agent(user_id=user_id, agent_id=agent_id)
    if document is None:
        raise ResourceNotFound
    return document


def _apply_blocks(
    user_id: UUID, agent_id: str, now: list[dict[str, Any]], wanted: list[Mapping[str, Any]]
) -> None:
    before = {block["label"]: block for block in now}
    for block in wanted:
        if before.pop(block["label"], None) != block:
            letta.put_block(user_id=user_id, agent_id=agent_id, block=block)
    for label in before:
        letta.drop_block(user_id=user_id, agent_id=agent_id, label=label)
