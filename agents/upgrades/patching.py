"""What a version says is to be done to agents of an earlier one, before the two are compared.

Each operation is done to what is compared, too. One that says a value (``add``, ``replace``) or
takes a block away has the last word on that: it is done to both versions and the agent, so that
nothing is left to compare there. One that carries a block over (``move``, ``copy``) has the last
word on what stands in it, which goes along, and the new version says the rest. What the agent has
changed itself is a conflict here as there; where it has already what an operation says, the two
agree, and what later ones say is taken, as if the agent had been upgraded to each version.

No library for JSON Patch: it would change one document, where three are to be kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agents.upgrades.merging import BOTH, TAKEN_BY_TEMPLATE, TAKEN_FROM_AGENT
from agents.upgrades.states import ABSENT, BLOCKS, State, block_in
from gateway_core.errors import FieldInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agents.upgrades.merging import Merging

_VALUE: Final = "/value"
_MOST_BLOCKS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a patch, as RFC 6902 has it.

    Attributes:
        path, source: pointers as in plans: blocks go by their labels. ``source`` is ``from``.
        value: of ``add``, ``replace`` and ``test``.
        place: pointer to the operation in the Agent File.
    """

    op: str
    path: str
    source: str = ""
    value: Any = field(default=None, repr=False)
    place: str

    def refused(self, why: str) -> FieldInvalid:
        """Return the error for an agent that it does not fit."""
        return FieldInvalid(
            f"The new version has a step that does not fit this agent: {why}. Publish a version "
            "with other steps, or make a new agent.",
            param=self.place,
            errors=[{"pointer": self.place, "message": why}],
        )


def operations_in(document: Mapping[str, Any], ways: Sequence[int]) -> tuple[Operation, ...]:
    """Return the operations of these ``migrations`` of a filled Agent File, in order."""
    return tuple(
        Operation(
            op=one["op"],
            path=one["path"],
            source=one.get("from", ""),
            value=one.get("value"),
            place=f"/migrations/{way}/steps/{number}/patch/{index}",
        )
        for way in ways
        for number, step in enumerate(document["migrations"][way]["steps"])
        for index, one in enumerate(step["patch"])
    )


def patched(
    old: State, new: State, now: State, *, operations: Sequence[Operation], merging: Merging
) -> tuple[State, State, State]:
    """Return old version, new version and agent with these operations done.

    Raises:
        FieldInvalid: one does not fit.
    """
    patching = _Patching(old, new, now, merging)
    for operation in operations:
        patching.do(operation)
    return patching.old, patching.new, patching.now


@dataclass(slots=True)
class _Patching:
    old: State
    new: State
    now: State
    merging: Merging

    def do(self, operation: Operation) -> None:
        label, member = block_in(operation.path)
        match operation.op:
            case "test":
                self._test(operation)
            case "move" | "copy":
                self._carry(operation)
            case "remove":
                self._require_block(operation, label)
                self._remove(operation.path, label)
            case _ if member:
                self._require_block(operation, label)
                self._change_block(label, {member: operation.value})
            case _ if label:
                if operation.op == "replace":
                    self._require_block(operation, label)
                self._put_block(label, operation.value)
            case _:
                self._set(operation.path, operation.value)
        if len(self.now.blocks) > max(_MOST_BLOCKS, len(self.merging.agent.blocks)):
            raise operation.refused(f"it would have more than {_MOST_BLOCKS} blocks")

    def _test(self, operation: Operation) -> None:
        if self.now.value_at(operation.path) != operation.value:
            raise operation.refused(f"{operation.path} is not what the step tests for")

    def _require_block(self, operation: Operation, label: str) -> None:
        if label not in self.old.blocks and label not in self.now.blocks:
            raise operation.refused(f"there is no {BLOCKS}/{label}")

    def _put_block(self, label: str, block: Mapping[str, Any]) -> None:
        pointer = f"{BLOCKS}/{label}"
        if label in self.old.blocks or label in self.now.blocks:
            self._change_block(label, block)
        else:
            self.now = self.now.with_value(pointer, dict(block))
        self.old = self.old.with_value(pointer, {**self.old.blocks.get(label, {}), **block})
        self.new = self.new.with_value(pointer, {**self.new.blocks.get(label, {}), **block})

    def _change_block(self, label: str, members: Mapping[str, Any]) -> None:
        pointer = f"{BLOCKS}/{label}"
        if label not in self.now.blocks:
            taken = {**self.old.blocks[label], **members}
            if self.merging.chosen(pointer, taken, None, TAKEN_FROM_AGENT) is not None:
                self.now = self.now.with_value(pointer, taken)
        for member, value in members.items():
            self._set(f"{pointer}/{member}", value)

    def _set(self, pointer: str, value: Any) -> None:
        """Give a setting, or a member of a block where that is there, a value."""
        label, _ = block_in(pointer)
        was, now = self.old.value_at(pointer), self.now.value_at(pointer)
        if was is ABSENT and not pointer.endswith(_VALUE):
            was = now  # what Letta has given it, which nobody has chosen
        if not label or label in self.now.blocks:
            merged = self.merging.value(pointer, was, value, now)
            if merged is not ABSENT:
                self.now = self.now.with_value(pointer, merged)
        if not label or label in self.old.blocks:
            self.old = self.old.with_value(pointer, value)
        if not label or label in self.new.blocks:
            self.new = self.new.with_value(pointer, value)

    def _remove(self, pointer: str, label: str) -> None:
        now = self.now.blocks.get(label)
        learned = self._has_learned(label)
        if not learned or self.merging.chosen(pointer, None, now, TAKEN_BY_TEMPLATE) is None:
            self.now = self.now.without_block(label)
        self.old, self.new = self.old.without_block(label), self.new.without_block(label)

    def _carry(self, operation: Operation) -> None:
        source, _ = block_in(operation.source)
        label, _ = block_in(operation.path)
        self._require_block(operation, source)
        if not self._may_carry(operation.path, source, label):
            return
        is_move = operation.op == "move"
        if source in self.now.blocks:
            self.now = _carried(self.now, source, label, is_move=is_move)
        if source in self.old.blocks:
            value = self.old.blocks[source]["value"]
            self.old = _carried(self.old, source, label, is_move=is_move)
            if label in self.new.blocks:
                self.new = self.new.with_value(f"{operation.path}{_VALUE}", value)

    def _may_carry(self, pointer: str, source: str, label: str) -> bool:
        block = self.now.blocks.get(source)
        if block is None or not self._has_learned(label):
            return True
        chosen = self.merging.chosen(pointer, block, self.now.blocks[label], BOTH)
        return chosen is block

    def _has_learned(self, label: str) -> bool:
        was, now = self.old.blocks.get(label), self.now.blocks.get(label)
        return now is not None and (was is None or was["value"] != now["value"])


def _carried(state: State, source: str, label: str, *, is_move: bool) -> State:
    block = state.blocks[source]
    kept = state.without_block(source) if is_move else state
    return kept.with_value(f"{BLOCKS}/{label}", block)
