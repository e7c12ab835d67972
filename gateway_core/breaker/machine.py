"""The states of a breaker and what leads from one to the other: pure, for any store to keep.

Times are Unix seconds, because processes on several machines share a state.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gateway_core.breaker.policy import Policy

_LEAST_HALF_OPEN_SECONDS: Final = 60.0


class State(StrEnum):
    """Closed lets everything through, open nothing, half-open a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(StrEnum):
    """What became of a probe.

    ``GOOD`` and ``SLOW`` are told when the head of the answer is there: a stream may go on for as
    long as it likes. ``VOID`` is an answer that says nothing of the upstream, like a 404. ``LEFT``
    ended without any, by itself, as when its caller went away.
    """

    GOOD = "good"
    SLOW = "slow"
    BAD = "bad"
    VOID = "void"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Probe:
    """A call that tries whether the upstream works again.

    Attributes:
        caller: whose; empty when it is nobody's.
        until: when its place is another one's, whatever becomes of it.
    """

    caller: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A breaker's state, which is shared.

    Attributes:
        until: open: when probes may begin, None where staff have tripped it, which no store keeps;
            half-open: when everybody may try again who has had their probes.
        successes: half-open: probes that have succeeded.
        probes: half-open: those under way, and those of callers that nothing good has come of.
        blamed: half-open: whose probes have failed or were slow, which may have been their doing.
        generation: counts the changes of state, so that late reports are told from timely ones.
        reason: why it is open, for people.
    """

    state: State = State.CLOSED
    until: float | None = 0.0
    successes: int = 0
    probes: tuple[Probe, ...] = ()
    blamed: tuple[str, ...] = ()
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
        return cls(
            **{
                **known,
                "state": State(known["state"]),
                "probes": tuple(Probe(**probe) for probe in known.get("probes", ())),
                "blamed": tuple(known.get("blamed", ())),
            }
        )


def opened(circuit: Circuit, *, until: float, reason: str) -> Circuit:
    """Open it."""
    return Circuit(state=State.OPEN, until=until, generation=circuit.generation + 1, reason=reason)


def closed(circuit: Circuit) -> Circuit:
    """Close it."""
    return Circuit(generation=circuit.generation + 1)


def with_probe(circuit: Circuit, probe: Probe, *, now: float, policy: Policy) -> Circuit | None:
    """Return the circuit with one more probe under way; None when it may not begin now.

    A caller may have one less than there are places, and no other ones for a minute in place of
    those that nothing good comes of: so nobody has all places and lets the probes take their time.
    Those that have succeeded keep their places: there are never more than it takes to close it.
    """
    is_due = circuit.until is not None and circuit.until <= now
    if circuit.state is State.CLOSED or (not is_due and circuit.state is State.OPEN):
        return None
    if is_due:
        return Circuit(
            state=State.HALF_OPEN,
            until=now + max(policy.open_seconds, _LEAST_HALF_OPEN_SECONDS),
            probes=(probe,),
            generation=circuit.generation + 1,
            reason=circuit.reason,
        )
    under_way = sum(one.until > now for one in circuit.probes)
    theirs = sum(one.caller == probe.caller for one in circuit.probes if probe.caller)
    if under_way + circuit.successes >= policy.probes or theirs >= max(1, policy.probes - 1):
        return None
    return replace(circuit, probes=(*circuit.probes, probe))


def after_probe(  # noqa: PLR0913 - what there is to say of a probe
    circuit: Circuit,
    probe: Probe,
    outcome: Outcome,
    *,
    generation: int,
    is_nobodys: bool,
    now: float,
    policy: Policy,
) -> Circuit | None:
    """Return the circuit after the outcome of a probe; None when it is told too late.

    What callers may have brought about decides as it does in a closed circuit: once enough
    different ones have met it. Until then a slow probe is one that has succeeded.

    Args:
        is_nobodys: no caller can have brought about that it is a bad one.
    """
    if circuit.state is not State.HALF_OPEN or circuit.generation != generation:
        return None
    circuit = _without(circuit, probe, keeps_count=outcome in {Outcome.BAD, Outcome.LEFT})
    if outcome in {Outcome.BAD, Outcome.SLOW}:
        blamed = tuple({*circuit.blamed, probe.caller})
        if is_nobodys or len(blamed) >= policy.callers:
            return opened(circuit, until=now + policy.open_seconds, reason=circuit.reason)
        circuit = replace(circuit, blamed=blamed)
    if outcome in {Outcome.GOOD, Outcome.SLOW}:
        if circuit.successes + 1 >= policy.probes:
            return closed(circuit)
        circuit = replace(circuit, successes=circuit.successes + 1)
    return circuit


def _without(circuit: Circuit, probe: Probe, *, keeps_count: bool) -> Circuit:
    """Free the place of a probe; if it is kept count of, its caller has had it."""
    if probe not in circuit.probes:
        return circuit
    place = circuit.probes.index(probe)
    had = (Probe(probe.caller, 0.0),) if keeps_count and probe.caller else ()
    return replace(circuit, probes=(*circuit.probes[:place], *had, *circuit.probes[place + 1 :]))
