"""Three ways to one: what the old version said, what the new one says, and the agent as it is.

What only the template has changed is taken, what only the agent has changed is kept, and what both
have changed is a conflict until somebody chooses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from agents.upgrades.states import (
    ABSENT,
    BLOCKS,
    CONTEXT_WINDOW,
    EMBEDDING,
    ENGINE,
    MODEL,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Block = Mapping[str, Any] | None

# What is said of conflicts, after their pointers.
BOTH: Final = "was changed by the template and by the agent"
TAKEN_FROM_AGENT: Final = "was changed by the template and taken away from the agent"
TAKEN_BY_TEMPLATE: Final = "was taken away by the template and changed by the agent"


class Choice(StrEnum):
    """What becomes of a conflict."""

    KEEP_AGENT = "keep_agent"
    TAKE_TEMPLATE = "take_template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """What somebody has chosen.

    Attributes:
        in_all: for each conflict that is not named.
        by_pointer: for single ones.
    """

    in_all: Choice | None = None
    by_pointer: Mapping[str, Choice] = field(default_factory=dict)

    def at(self, pointer: str) -> Choice | None:
        """Return what becomes of a conflict, None when nobody has chosen."""
        return self.by_pointer.get(pointer, self.in_all)


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """Something that template and agent have both changed, each in its own way."""

    pointer: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What an agent is to become.

    Attributes:
        state: with conflicts that nobody has chosen for left as the agent has them.
        conflicts: all that nobody has chosen for.
        warnings: sentences for whoever asks for it.
    """

    state: State
    conflicts: tuple[Conflict, ...]
    warnings: tuple[str, ...]


def merge(*, old: State, new: State, now: State, merging: Merging) -> Merged:
    """Bring an agent of one version to another one."""
    settings = merging.settings(old, new, now)
    blocks = merging.blocks(old, new, now)
    state = State(
        settings=settings,
        tools=_tools(old, new, now),
        blocks=blocks,
        environment=new.environment,
    )
    return Merged(
        state=state,
        conflicts=tuple(sorted(set(merging.conflicts))),
        warnings=tuple(merging.warnings),
    )


@dataclass(slots=True)
class Merging:
    """Decides what can be decided, and collects what can't be, and what somebody should know.

    Attributes:
        agent: as it is before anything is done.
    """

    strategy: Strategy
    agent: State
    conflicts: list[Conflict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def settings(self, old: State, new: State, now: State) -> dict[str, Any]:
        """Return the agent's settings after it."""
        merged = dict(now.settings)
        for pointer in sorted(old.settings.keys() | new.settings.keys()):
            if pointer not in new.settings:
                self.warnings.append(f"The new version says nothing of {pointer}: it stays.")
            elif pointer not in old.settings:
                # The agent has what Letta has given it, which nobody has chosen.
                merged[pointer] = new.settings[pointer]
            else:
                value = self.value(
                    pointer, *(state.settings.get(pointer, ABSENT) for state in (old, new, now))
                )
                if value is not ABSENT:
                    merged[pointer] = value
        if (
            merged.get(MODEL) != self.agent.settings.get(MODEL)
            and CONTEXT_WINDOW not in new.settings
        ):
            merged.pop(CONTEXT_WINDOW, None)  # the new model's own
        if merged.get(EMBEDDING) != self.agent.settings.get(EMBEDDING):
            self.warnings.append(
                f"With another {EMBEDDING} the agent may not find passages that it has now."
            )
        return merged

    def blocks(self, old: State, new: State, now: State) -> dict[str, Mapping[str, Any]]:
        """Return the agent's blocks after it."""
        merged = dict(now.blocks)
        for label in sorted(old.blocks.keys() | new.blocks.keys()):
            block = self._block(label, *(state.blocks.get(label) for state in (old, new, now)))
            if block is None:
                merged.pop(label, None)
            else:
                merged[label] = block
        return merged

    def _block(self, label: str, old: _Block, new: _Block, now: _Block) -> _Block:
        pointer = f"{BLOCKS}/{label}"
        if now is None:
            if old is None or new is None:
                return new
            chosen: _Block = (
                None if new == old else self.chosen(pointer, new, now, TAKEN_FROM_AGENT)
            )
            return chosen
        if new is None:
            if old is not None and now["value"] == old["value"]:
                return None
            kept: _Block = self.chosen(pointer, new, now, TAKEN_BY_TEMPLATE)
            return kept
        merged = {**now, "value": self._learned(pointer, old, new, now)}
        for name in sorted(new.keys() - {"value"}):
            # Of what the old version did not say, the agent has what Letta has given it.
            before = (old or {}).get(name, now.get(name, ABSENT))
            value = now.get(name, ABSENT)
            chosen = self.value(f"{pointer}/{name}", before, new[name], value)
            if chosen is not ABSENT:
                merged[name] = chosen
        if len(merged["value"]) > merged.get("limit", math.inf):
            merged["limit"] = len(merged["value"])
            self.warnings.append(f"{pointer} is longer than its new limit, which is raised for it.")
        return merged

    def _learned(
        self, pointer: str, old: _Block, new: Mapping[str, Any], now: Mapping[str, Any]
    ) -> Any:
        before = old["value"] if old else ABSENT
        return self.value(f"{pointer}/value", before, new["value"], now["value"])

    def value(self, pointer: str, old: Any, new: Any, now: Any) -> Any:
        """Return what becomes of a value: only two of the three have to agree."""
        if new in (old, now):
            return now
        if now in (old, ABSENT):
            return new
        return self.chosen(pointer, new, now, BOTH)

    def chosen(self, pointer: str, new: Any, now: Any, message: str) -> Any:
        """Return what somebody has chosen; the agent's, and note it, when nobody has."""
        match self.strategy.at(pointer):
            case Choice.TAKE_TEMPLATE:
                return new
            case Choice.KEEP_AGENT:
                return now
        self.conflicts.append(Conflict(pointer, message))
        return now


def _tools(old: State, new: State, now: State) -> tuple[str, ...]:
    gone = set(old.tools) - set(new.tools)
    added = [name for name in new.tools if name not in {*old.tools, *now.tools}]
    return (*(name for name in now.tools if name not in gone), *added)


def is_of_engine(pointer: str) -> bool:
    """Say whether a setting goes to the model rather than into the prompt."""
    return pointer.startswith(f"{ENGINE}/")
