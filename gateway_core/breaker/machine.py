"""The states of a breaker and what leads from one to the other: pure, for any store to keep.

Times are Unix seconds, because processes on several machines share a state.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Closed lets everything through, open nothing, half-open a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A breaker's state, which is shared.

    Attributes:
        until: open: when probes may begin, None for staff's own, which lasts until they reset it;
            half-open: when probes that nobody has reported on are given up.
        permits: half-open: probes that may still begin.
        successes: half-open: probes that have succeeded.
        generation: counts the changes of state, so that late reports are told from timely ones.
        reason: why it is open, for people.
    """

    state: State = State.CLOSED
    until: float | None = 0.0
    permits: int = 0
    successes: int = 0
    generation: int = 0
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, members: dict[str, Any]) -> Circuit:
        """Return the circuit of ``as_dict``."""
        return cls(**{**members, "state": State(members["state"])})


def opened(circuit: Circuit, *, until: float | None, reason: str) -> Circuit:
    """Open it."""
    return Circuit(state=State.OPEN, until=until, generation=circuit.generation + 1, reason=reason)


def closed(circuit: Circuit) -> Circuit:
    """Close it."""
    return Circuit(generation=circuit.generation + 1)


def with_probe(
    circuit: Circuit, *, now: float, probes: int, probe_seconds: float
) -> Circuit | None:
    """Return the circuit with one more probe under way; None when none may begin now."""
    is_due = circuit.until is not None and circuit.until <= now
    if circuit.state is State.CLOSED or (not is_due and circuit.state is State.OPEN):
        return None
    if is_due:
        return Circuit(
            state=State.HALF_OPEN,
            until=now + probe_seconds,
            permits=probes - 1,
            generation=circuit.generation + 1,
            reason=circuit.reason,
        )
    if not circuit.permits:
        return None
    return replace(circuit, permits=circuit.permits - 1)


def after_probe(
    circuit: Circuit, generation: int, *, is_success: bool | None, probes: int, reopen_until: float
) -> Circuit | None:
    """Return the circuit after a probe has ended; None when the report comes too late.

    Args:
        is_success: None for a probe whose caller left: another one may take its place.
    """
    if circuit.state is not State.HALF_OPEN or circuit.generation != generation:
        return None
    if is_success is None:
        return replace(circuit, permits=circuit.permits + 1)
    if not is_success:
        return opened(circuit, until=reopen_until, reason=circuit.reason)
    if circuit.successes + 1 >= probes:
        return closed(circuit)
    return replace(circuit, successes=circuit.successes + 1)
