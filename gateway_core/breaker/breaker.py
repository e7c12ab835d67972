"""A breaker in one process: what it knows of the shared circuit, and what it tells it.

While the circuit is closed, nothing is asked of anybody: a request costs a comparison before and a
count after. Changes of other processes come with ``refresh``, twice a second.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from gateway_core import background, valkey
from gateway_core.breaker import machine
from gateway_core.breaker.call import Call
from gateway_core.breaker.machine import Circuit, Outcome, Probe, State
from gateway_core.breaker.store import SharedStore
from gateway_core.breaker.window import Window
from gateway_core.errors import BreakerOpen, BreakerTripped, UpstreamUnreachable
from gateway_core.logging import get_logger
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

    from gateway_core.breaker.policy import Policy
    from gateway_core.breaker.store import Store

ResultT = TypeVar("ResultT")

_log = get_logger("gateway.breaker")
_SHARED: Final = SharedStore()

# A probe and the generation of the circuit that it belongs to.
_Probing: TypeAlias = tuple[Probe, int]


class Breaker:
    """Guards the calls to one upstream.

    Args:
        name: of the upstream, the same in every process.
        policy: returns what holds now.
        clock: seconds, monotonic, for the window.
        wall_clock: Unix seconds, for what is shared.

    Attributes:
        circuit: as it holds now: the shared one or, while staff have it tripped, an open one.
    """

    def __init__(
        self,
        name: str,
        policy: Callable[[], Policy],
        *,
        store: Store | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.circuit = Circuit()
        self._policy = policy
        self._store = store or _SHARED
        self._clock = clock
        self._wall_clock = wall_clock
        self._asking = 0
        self._shared = self.circuit
        self._trip_reason: str | None = None
        self._window = Window(
            seconds=lambda: policy().window_seconds,
            callers=lambda: policy().callers,
            limit_each=lambda: _part_of_each(policy()),
            clock=clock,
        )

    def check(self) -> None:
        """Refuse what has not begun yet while the upstream is left alone.

        Raises:
            BreakerOpen: it is.
        """
        circuit = self.circuit
        if circuit.state is State.OPEN:
            now = self._wall_clock()
            if circuit.until is None or circuit.until > now:
                raise self._refusal(now)

    @asynccontextmanager
    async def watch(self, caller: str | None = None) -> AsyncIterator[Call]:
        """Watch a call, which is the block.

        UpstreamErrors that are the upstream's own count as failures; all else that ends the block
        early, like the caller's leaving, counts for nothing.

        Args:
            caller: who may have brought a failure about; None when nobody can have.

        Raises:
            BreakerOpen: the upstream is being left alone.
        """
        is_closed = self.circuit.state is State.CLOSED
        probing = None if is_closed else await self._begin_probe(caller)
        call = Call(self._clock)
        if probing is not None:
            call.when_good = lambda: spawn(self._tell(probing, self._good_or_slow(call)))
        try:
            with call:
                yield call
        finally:
            if (rest := self._conclude(call, caller, probing)) is not None:
                spawn(rest())

    @contextmanager
    def watch_sync(self, caller: str | None = None) -> Iterator[Call]:
        """Do the same for synchronous code."""
        is_closed = self.circuit.state is State.CLOSED
        probing = None if is_closed else _waited_for(partial(self._begin_probe, caller))
        call = Call(self._clock)
        try:
            with call:
                yield call
        finally:
            if (rest := self._conclude(call, caller, probing)) is not None:
                _waited_for(rest)

    @staticmethod
    async def refresh(breakers: Sequence[Breaker]) -> None:
        """Hear what other processes have made of circuits of one store, which is asked once."""
        store = breakers[0]._store  # noqa: SLF001 - of this class, here and below
        circuits = await store.read([breaker.name for breaker in breakers])
        for breaker in breakers:
            breaker._adopt(circuits[breaker.name])  # noqa: SLF001

    def set_trip(self, reason: str | None) -> None:
        """Leave the upstream alone, in this process, until this is called with None.

        Staff's trips are kept apart from what is shared here, which comes and goes with Valkey: the
        caller keeps them, and tells each process.
        """
        if reason != self._trip_reason:
            self._trip_reason = reason
            self._adopt(self._shared)

    async def reset(self) -> None:
        """Close what calls have opened, and count anew."""
        circuit, _ = await self._store.change(self.name, machine.closed)
        self._adopt(circuit)
        self.forget()

    def forget(self) -> None:
        """Count anew."""
        self._window.clear()

    def rates(self) -> tuple[int, float, float]:
        """Return calls, failure rate and slow-call rate of this process's window."""
        return self._window.rates()

    async def _begin_probe(self, caller: str | None) -> _Probing | None:
        """Return a probe that may go on; None when the circuit has closed meanwhile."""
        policy, now = self._policy(), self._wall_clock()
        is_due = self.circuit.until is not None and self.circuit.until <= now
        may_ask = self.circuit.state is State.HALF_OPEN or is_due
        # Of a crowd, only as many ask as could be let through.
        if not may_ask or self._asking >= policy.probes:
            raise self._refusal(now)
        self._asking += 1
        probe = Probe(caller or "", now + policy.probe_seconds)
        try:
            circuit, is_mine = await self._store.change(
                self.name, partial(machine.with_probe, probe=probe, now=now, policy=policy)
            )
        finally:
            self._asking -= 1
        self._adopt(circuit)
        if is_mine:
            return probe, circuit.generation
        if circuit.state is State.CLOSED:
            return None
        raise self._refusal(now)

    async def _tell(self, probing: _Probing, outcome: Outcome, *, is_nobodys: bool = False) -> None:
        probe, generation = probing
        circuit, _ = await self._store.change(
            self.name,
            partial(
                machine.after_probe,
                probe=probe,
                outcome=outcome,
                generation=generation,
                is_nobodys=is_nobodys,
                now=self._wall_clock(),
                policy=self._policy(),
            ),
        )
        self._adopt(circuit)

    def _good_or_slow(self, call: Call) -> Outcome:
        return Outcome.SLOW if call.seconds > self._policy().slow_seconds else Outcome.GOOD

    def _end_of_probe(
        self, call: Call, caller: str | None, probing: _Probing
    ) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Return what is left to be told of a probe that has ended."""
        if call.is_success is False:  # even when its head was good: the answer has broken off
            is_nobodys = _to_blame(call, caller) is None
            return partial(self._tell, probing, Outcome.BAD, is_nobodys=is_nobodys)
        if call.is_told:
            return None
        if call.is_success:
            return partial(self._tell, probing, self._good_or_slow(call))
        return partial(self._tell, probing, Outcome.VOID if call.has_answer else Outcome.LEFT)

    def _conclude(
        self, call: Call, caller: str | None, probing: _Probing | None
    ) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Count a call that is over; return what is left to be told to the others."""
        if probing is not None:
            return self._end_of_probe(call, caller, probing)
        if call.is_success is None:
            return None
        reason = self._count(call, caller)
        if not reason or self.circuit.state is not State.CLOSED:
            return None
        until = self._wall_clock() + self._policy().open_seconds
        # Here at once; the others hear of it through the store.
        self._adopt(machine.opened(self.circuit, until=until, reason=reason))
        return partial(self._share_opening, until, reason)

    def _count(self, call: Call, caller: str | None) -> str:
        """Return why the circuit has to open, empty when it hasn't to."""
        policy = self._policy()
        is_slow = call.seconds > policy.slow_seconds
        self._window.add(
            is_failure=not call.is_success,
            is_slow=is_slow,
            caller=_to_blame(call, caller),
        )
        if call.is_success and not is_slow:
            return ""
        for (calls, rate), limit, verb in (
            (self._window.failures(), policy.failure_rate, "failed"),
            (self._window.slowness(), policy.slow_rate, "were slow"),
        ):
            if calls >= policy.minimum_calls and rate >= limit:
                return f"{rate:.0%} of {calls} calls {verb}"
        return ""

    async def _share_opening(self, until: float, reason: str) -> None:
        circuit, _ = await self._store.change(
            self.name,
            lambda was: (
                machine.opened(was, until=until, reason=reason)
                if was.state is State.CLOSED
                else None
            ),
        )
        self._adopt(circuit)

    def _adopt(self, shared: Circuit) -> None:
        self._shared = circuit = shared
        if self._trip_reason is not None:
            circuit = Circuit(state=State.OPEN, until=None, reason=self._trip_reason)
        if circuit.state is not self.circuit.state:
            _log.warning(
                "circuit", upstream=self.name, state=circuit.state.value, reason=circuit.reason
            )
            self._window.clear()
        self.circuit = circuit

    def _refusal(self, now: float) -> BreakerOpen:
        if self.circuit.until is None:
            return BreakerTripped()
        left = self.circuit.until - now
        if self.circuit.state is State.HALF_OPEN:  # probes are under way, and say more by then
            left = min(left, self._policy().probe_seconds)
        return BreakerOpen(retry_after=max(1.0, left))


def _waited_for(work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    return background.wait_for(work, close=valkey.close)


def _to_blame(call: Call, caller: str | None) -> str | None:
    """Return who may have made a call a bad one; that there is no connection is nobody's doing."""
    return None if isinstance(call.error, UpstreamUnreachable) else caller


def _part_of_each(policy: Policy) -> int:
    """Return how many bad calls of each caller are enough when just enough callers have some."""
    return ceil(policy.minimum_calls / max(1, policy.callers))
