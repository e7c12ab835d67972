"""What is done to an agent, step by step, and the way back. Nothing here reads or writes anything.

A step says what is there before and after it, both absolutely: it can be done twice, and undone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson
from django.utils.crypto import salted_hmac

from agents.upgrades.merging import Merging, is_of_engine, merge
from agents.upgrades.patching import patched
from agents.upgrades.states import BLOCKS, ENGINE, ENVIRONMENT, SYSTEM, TOOLS, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agents.upgrades.merging import Conflict, Strategy
    from agents.upgrades.patching import Operation

_MASK: Final = "********"


class Op(StrEnum):
    """What a step does."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is done.

    Attributes:
        pointer: to a block, or to all of system prompt, engine, tools or environment.
        before, after: of a block and the engine only what changes; None: it is not there.
    """

    op: Op
    pointer: str
    before: Any = field(repr=False)
    after: Any = field(repr=False)

    @property
    def label(self) -> str:
        """Of the block, empty when it is about something else."""
        return self.pointer.removeprefix(f"{BLOCKS}/") if self.pointer.startswith(BLOCKS) else ""

    @property
    def inverse(self) -> Step:
        """What undoes it."""
        op = {Op.ADD: Op.REMOVE, Op.REMOVE: Op.ADD}.get(self.op, self.op)
        return replace(self, op=op, before=self.after, after=self.before)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; it holds memory and secrets."""
        return asdict(self)

    def as_line(self) -> dict[str, str]:
        """Return it as a line of a plan, without values."""
        return {"op": self.op, "pointer": self.pointer}

    def differences(self) -> Iterator[dict[str, Any]]:
        """Yield ``{pointer, before, after}`` of each value, the environment's masked."""
        if self.pointer in {SYSTEM, TOOLS}:
            yield {"pointer": self.pointer, "before": self.before, "after": self.after}
            return
        before, after = self.before or {}, self.after or {}
        base = "" if self.pointer == ENGINE else f"{self.pointer}/"
        for name in sorted(before.keys() | after.keys()):
            values = {"before": before.get(name), "after": after.get(name)}
            if values["before"] == values["after"]:
                continue
            if self.pointer == ENVIRONMENT:
                values = {key: _MASK if value else None for key, value in values.items()}
            yield {"pointer": base + name, **values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that an upgrade does.

    Attributes:
        before, after: the agent, as far as templates say anything about it.
        base: what the new version says of it: what later changes are told from.
    """

    steps: tuple[Step, ...]
    conflicts: tuple[Conflict, ...]
    warnings: tuple[str, ...]
    before: State = field(repr=False)
    after: State = field(repr=False)
    base: State = field(repr=False)

    def hash(self, *context: str) -> str:
        """Return what changes whenever anything that would be done does.

        Keyed, so that nobody guesses the secrets in it.

        Args:
            context: what else the plan stands for.
        """
        content = {
            "context": context,
            "steps": [step.as_json() for step in self.steps],
            "conflicts": [asdict(conflict) for conflict in self.conflicts],
        }
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return salted_hmac("agents.upgrades.plan", text, algorithm="sha256").hexdigest()


def make_plan(
    *, old: State, new: State, now: State, strategy: Strategy, operations: Sequence[Operation] = ()
) -> Plan:
    """Return how an agent of one version becomes one of another.

    Args:
        operations: what the new version says is to be done before they are compared.

    Raises:
        FieldInvalid: one of these does not fit the agent.
    """
    merging = Merging(strategy, now)
    before, after, patched_now = patched(old, new, now, operations=operations, merging=merging)
    merged = merge(old=before, new=after, now=patched_now, merging=merging)
    return Plan(
        steps=tuple(difference(now, merged.state)),
        conflicts=merged.conflicts,
        warnings=merged.warnings,
        before=now,
        after=merged.state,
        base=after,
    )


def difference(now: State, wanted: State) -> Iterator[Step]:
    """Yield the steps from one state to another; the system prompt after what it talks of."""
    for label in sorted(now.blocks.keys() | wanted.blocks.keys()):
        yield from _block_step(label, now.blocks.get(label), wanted.blocks.get(label))
    if now.tools != wanted.tools:
        yield _change(TOOLS, list(now.tools), list(wanted.tools))
    if now.environment != wanted.environment:
        yield _change(ENVIRONMENT, dict(now.environment), dict(wanted.environment))
    engines = _changed(_engine(now), _engine(wanted))
    if any(engines):
        yield _change(ENGINE, *engines)
    if now.settings.get(SYSTEM) != wanted.settings.get(SYSTEM):
        yield _change(SYSTEM, now.settings.get(SYSTEM), wanted.settings.get(SYSTEM))


def done(state: State, steps: Sequence[Step]) -> State:
    """Return a state after these steps."""
    settings, tools = dict(state.settings), state.tools
    blocks, environment = dict(state.blocks), state.environment
    for step in steps:
        if step.pointer == TOOLS:
            tools = tuple(step.after)
        elif step.pointer == ENVIRONMENT:
            environment = step.after
        elif step.pointer == SYSTEM:
            settings[SYSTEM] = step.after
        elif step.pointer == ENGINE:
            for pointer in step.before.keys() - step.after.keys():
                settings.pop(pointer, None)
            settings |= step.after
        elif step.after is None:
            blocks.pop(step.label, None)
        else:
            blocks[step.label] = {**blocks.get(step.label, {}), **step.after}
    return State(settings=settings, tools=tools, blocks=blocks, environment=environment)


def _block_step(
    label: str, now: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None
) -> Iterator[Step]:
    pointer = f"{BLOCKS}/{label}"
    if now == wanted:
        return
    if now is None or wanted is None:
        op = Op.ADD if now is None else Op.REMOVE
        yield Step(op=op, pointer=pointer, before=now and dict(now), after=wanted and dict(wanted))
        return
    before, after = _changed(now, wanted)
    yield _change(pointer, before, after)


def _change(pointer: str, before: Any, after: Any) -> Step:
    return Step(op=Op.CHANGE, pointer=pointer, before=before, after=after)


def _engine(state: State) -> dict[str, Any]:
    return {name: value for name, value in state.settings.items() if is_of_engine(name)}


def _changed(
    now: Mapping[str, Any], wanted: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of both differs."""
    before = {name: now[name] for name in now if wanted.get(name) != now[name]}
    after = {name: wanted[name] for name in wanted if now.get(name) != wanted[name]}
    return before, after
