"""The states of a breaker and what leads from one to the other: pure, for any store to keep.

Times are Unix seconds, because processes on several machines share a state.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
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
        permits: half-open: probes that may begin now.
        successes: half-open: probes that have succeeded.
        callers: half-open: for each probe that is under way, or has failed, whose it is.
        failed_for: half-open: whose probe has failed first, which may have been their doing.
        generation: counts the changes of state, so that late reports are told from timely ones.
        reason: why it is open, for people.
    """

    state: State = State.CLOSED
    until: float | None = 0.0
    permits: int = 0
    successes: int = 0
    callers: tuple[str, ...] = ()
    failed_for: str = ""
    generation: int = 0
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, members: dict[str, Any]) -> Circuit:
        """Return the circuit of ``as_dict``, which may be another release's."""
        names = {field.name for field in fields(cls)}
        known = {name: value for name, value in members.items() if name in names}
        callers = tuple(known.get("callers", ()))
        return cls(**{**known, "state": State(known["state"]), "callers": callers})


def opened(circuit: Circuit, *, until: float | None, reason: str) -> Circuit:
    """Open it."""
    return Circuit(state=State.OPEN, until=until, generation=circuit.generation + 1, reason=reason)


def closed(circuit: Circuit) -> Circuit:
    """Close it."""
    return Circuit(generation=circuit.generation + 1)


def with_probe(
    circuit: Circuit, caller: str | None, *, now: float, probes: int, probe_seconds: float
) -> Circuit | None:
    """Return the circuit with one more probe under way; None when none may begin now.

    One is left to others, so that nobody has all of them and lets them take their time.
    """
    is_due = circuit.until is not None and circuit.until <= now
    if circuit.state is State.CLOSED or (not is_due and circuit.state is State.OPEN):
        return None
    if is_due:
        return Circuit(
            state=State.HALF_OPEN,
            until=now + probe_seconds,
            permits=probes - 1,
            callers=(caller,) if caller else (),
            generation=circuit.generation + 1,
            reason=circuit.reason,
        )
    if not circuit.permits or circuit.callers.count(caller or "") >= max(1, probes - 1):
        return None
    callers = (*circuit.callers, caller) if caller else circuit.callers
    return replace(circuit, permits=circuit.permits - 1, callers=callers)


def after_probe(  # noqa: PLR0913 - what there is to say of a probe
    circuit: Circuit,
    generation: int,
    caller: str | None,
    *,
    is_success: bool | None,
    may_be_theirs: bool,
    probes: int,
    reopen_until: float,
) -> Circuit | None:
    """Return the circuit after a probe has ended; None when the report comes too late.

    Args:
        is_success: None for a probe whose caller left: another one may take its place.
        may_be_theirs: the caller may have brought a failure about; another one's decides then.
    """
    if circuit.state is not State.HALF_OPEN or circuit.generation != generation:
        return None
    ended = replace(circuit, permits=circuit.permits + 1)
    if is_success is False:
        if may_be_theirs and caller and circuit.failed_for in {"", caller}:
            return replace(ended, failed_for=caller)
        return opened(circuit, until=reopen_until, reason=circuit.reason)
    successes = circuit.successes + bool(is_success)
    if successes >= probes:
        return closed(circuit)
    return replace(ended, successes=successes, callers=_without(circuit.callers, caller))


def _without(callers: tuple[str, ...], caller: str | None) -> tuple[str, ...]:
    if caller not in callers:
        return callers
    place = callers.index(caller)
    return callers[:place] + callers[place + 1 :]
