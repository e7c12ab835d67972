from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import pytest
from django.test import override_settings

from gateway_core import valkey
from gateway_core.breaker import Breaker, Policy
from gateway_core.breaker.machine import Circuit, State
from gateway_core.breaker.store import OwnStore, SharedStore
from gateway_core.errors import (
    BreakerOpen,
    CallerGone,
    ResourceNotFound,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)

POLICY = Policy(minimum_calls=4, open_seconds=10, probes=3, slow_seconds=1)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("test", lambda: POLICY, store=OwnStore(), clock=clock, wall_clock=clock)


@pytest.fixture
async def shared() -> AsyncIterator[str]:
    yield f"test-{uuid4()}"
    await valkey.close()


async def call(
    breaker: Breaker, error: BaseException | None = None, caller: str | None = None
) -> None:
    with suppress(type(error) if error else BreakerOpen, BreakerOpen):
        async with breaker.watch(caller):
            if error:
                raise error


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def open_it(breaker: Breaker) -> None:
    for _ in range(POLICY.minimum_calls):
        await call(breaker, UpstreamUnreachable())
    await settle()
    assert breaker.circuit.state is State.OPEN


async def test_opens_when_half_of_the_calls_fail_and_not_before(breaker: Breaker) -> None:
    states = []
    for error in (None, None, UpstreamUnreachable(), UpstreamUnreachable()):
        await call(breaker, error)
        states.append(breaker.circuit.state)
    assert states == [State.CLOSED] * 3 + [State.OPEN]


async def test_opens_when_nearly_all_calls_are_slow(breaker: Breaker, clock: Clock) -> None:
    for _ in range(POLICY.minimum_calls):
        async with breaker.watch() as one:
            clock.now += 2
            one.answered()
    assert breaker.circuit.state is State.OPEN


async def test_forgets_what_lies_outside_the_window(breaker: Breaker, clock: Clock) -> None:
    for _ in range(POLICY.minimum_calls - 1):
        await call(breaker, UpstreamUnreachable())
    clock.now += POLICY.window_seconds + POLICY.window_seconds / 10
    await call(breaker, UpstreamUnreachable())
    assert breaker.circuit.state is State.CLOSED


@pytest.mark.parametrize("error", [CallerGone(), ResourceNotFound(), UpstreamOverloaded()])
async def test_counts_no_fault_of_the_caller(breaker: Breaker, error: Exception) -> None:
    for _ in range(50):
        await call(breaker, error)
    assert breaker.rates() == (0, 0.0, 0.0)


async def test_counts_no_cancelled_call(breaker: Breaker) -> None:
    for _ in range(50):
        await call(breaker, asyncio.CancelledError())
    assert breaker.circuit.state is State.CLOSED


async def test_stays_closed_whatever_one_caller_brings_about(breaker: Breaker) -> None:
    for _ in range(50):
        await call(breaker, UpstreamFailed(), caller="mallory")
    assert breaker.circuit.state is State.CLOSED
    assert breaker.rates() == (50, 1.0, 0.0)


async def test_counts_no_more_of_one_caller_however_many_others_have_met_failures(
    breaker: Breaker,
) -> None:
    for number in range(10):
        await call(breaker, caller=str(number))
    for caller in ("alice", "bob", *["mallory"] * 50):
        await call(breaker, UpstreamFailed(), caller=caller)
    assert breaker.circuit.state is State.CLOSED


@pytest.mark.parametrize("each", [2, 20])
async def test_opens_when_several_callers_meet_failures(breaker: Breaker, each: int) -> None:
    for caller in ("alice", "bob", "charlie"):
        for _ in range(each):
            await call(breaker, UpstreamFailed(), caller=caller)
    assert breaker.circuit.state is State.OPEN


@pytest.mark.parametrize("error", [UpstreamFailed(), UpstreamTimeout(), UpstreamInterrupted()])
async def test_stays_closed_whatever_two_callers_bring_about_while_nobody_else_calls(
    breaker: Breaker, error: Exception
) -> None:
    for _ in range(POLICY.minimum_calls):
        await call(breaker, error, caller="mallory")
        await call(breaker, error, caller="malice")
        assert breaker.circuit.state is State.CLOSED
    await call(breaker, UpstreamUnreachable())  # theirs don't count beside it either
    assert breaker.circuit.state is State.CLOSED


async def test_opens_for_one_caller_alone_when_there_is_no_connection(breaker: Breaker) -> None:
    for _ in range(POLICY.minimum_calls):
        await call(breaker, UpstreamUnreachable(), caller="alice")
    assert breaker.circuit.state is State.OPEN


@pytest.mark.parametrize(("callers", "state"), [(2, State.CLOSED), (3, State.OPEN)])
async def test_opens_when_calls_of_so_many_callers_are_slow(
    breaker: Breaker, clock: Clock, callers: int, state: State
) -> None:
    for number in range(POLICY.minimum_calls):
        async with breaker.watch(str(number % callers)) as one:
            clock.now += 2
            one.answered()
    assert breaker.circuit.state is state


async def test_refuses_at_once_while_open_and_says_when_to_come_back(
    breaker: Breaker, clock: Clock
) -> None:
    await open_it(breaker)
    clock.now += 4
    started = time.perf_counter()
    with pytest.raises(BreakerOpen) as refusal:
        async with breaker.watch():
            pytest.fail("nothing may go through")
    assert time.perf_counter() - started < 0.005
    assert refusal.value.retry_after == pytest.approx(6)


async def test_lets_exactly_the_configured_probes_through_a_crowd(
    breaker: Breaker, clock: Clock
) -> None:
    await open_it(breaker)
    clock.now += POLICY.open_seconds
    probes = 0
    go_on = asyncio.Event()

    async def one() -> None:
        nonlocal probes
        with suppress(BreakerOpen):
            async with breaker.watch():
                probes += 1
                await go_on.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(1000):
            group.create_task(one())
        await settle()
        await settle()
        assert probes == POLICY.probes
        go_on.set()
    await settle()
    assert breaker.circuit.state is State.CLOSED


async def test_opens_again_when_a_probe_fails(breaker: Breaker, clock: Clock) -> None:
    await open_it(breaker)
    clock.now += POLICY.open_seconds
    await call(breaker)
    await settle()
    await call(breaker, UpstreamUnreachable())
    await settle()
    assert breaker.circuit.state is State.OPEN
    assert breaker.circuit.until == clock.now + POLICY.open_seconds


async def test_tries_another_probe_when_the_caller_of_one_leaves(
    breaker: Breaker, clock: Clock
) -> None:
    await open_it(breaker)
    clock.now += POLICY.open_seconds
    for _ in range(10):
        await call(breaker, CallerGone())
        await settle()
    for _ in range(POLICY.probes):
        await call(breaker)
        await settle()
    assert breaker.circuit.state is State.CLOSED


async def test_closes_again_whoever_lets_their_probes_take_their_time(
    breaker: Breaker, clock: Clock
) -> None:
    await open_it(breaker)
    clock.now += POLICY.open_seconds
    go_on = asyncio.Event()
    begun = 0

    async def dawdle() -> None:
        nonlocal begun
        with suppress(BreakerOpen):
            async with breaker.watch("mallory"):
                begun += 1
                await go_on.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(dawdle())
            await settle()
        assert begun == POLICY.probes - 1
        for _ in range(POLICY.probes):
            await call(breaker, caller="alice")
            await settle()
        assert breaker.circuit.state is State.CLOSED
        go_on.set()


async def test_opens_again_for_no_failure_of_one_caller_alone(
    breaker: Breaker, clock: Clock
) -> None:
    await open_it(breaker)
    clock.now += POLICY.open_seconds
    for _ in range(10):
        await call(breaker, UpstreamFailed(), caller="mallory")
        await settle()
    states = [breaker.circuit.state]
    await call(breaker, UpstreamFailed(), caller="alice")
    await settle()
    states.append(breaker.circuit.state)
    assert states == [State.HALF_OPEN, State.OPEN]


async def test_stays_closed_however_slow_the_calls_of_one_caller_are(
    breaker: Breaker, clock: Clock
) -> None:
    for caller in ["mallory"] * 10 + ["alice"]:
        async with breaker.watch(caller) as one:
            clock.now += 2
            one.answered()
    assert breaker.circuit.state is State.CLOSED


async def test_does_what_staff_say_until_they_say_otherwise(breaker: Breaker, clock: Clock) -> None:
    await breaker.trip("maintenance")
    clock.now += 1_000_000
    with pytest.raises(BreakerOpen):
        async with breaker.watch():
            pytest.fail("nothing may go through")
    await breaker.reset()
    await call(breaker)
    assert breaker.circuit.state is State.CLOSED


async def test_shares_its_state_with_other_processes(shared: str, clock: Clock) -> None:
    one, other = (
        Breaker(shared, lambda: POLICY, store=SharedStore(), clock=clock, wall_clock=clock)
        for _ in range(2)
    )
    await open_it(one)
    async with asyncio.timeout(1):
        while other.circuit != one.circuit:
            await asyncio.sleep(0.01)
            await other.refresh()
    clock.now += POLICY.open_seconds
    admitted = refused = 0
    go_on = asyncio.Event()

    async def probe(breaker: Breaker) -> None:
        nonlocal admitted, refused
        try:
            async with breaker.watch():
                admitted += 1
                await go_on.wait()
        except BreakerOpen:
            refused += 1

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(probe((one, other)[number % 2]))
        async with asyncio.timeout(2):
            while refused + admitted < 200:
                await asyncio.sleep(0.01)
        go_on.set()
    assert admitted == POLICY.probes
    async with asyncio.timeout(1):
        while (one.circuit.state, other.circuit.state) != (State.CLOSED, State.CLOSED):
            await asyncio.sleep(0.01)
            await one.refresh()
            await other.refresh()


async def test_goes_on_alone_while_valkey_is_away(shared: str, clock: Clock) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        breaker = Breaker(
            shared, lambda: POLICY, store=SharedStore(), clock=clock, wall_clock=clock
        )
        await open_it(breaker)
        await breaker.refresh()
        assert breaker.circuit.state is State.OPEN
        await valkey.close()


def test_reads_what_another_release_has_written() -> None:
    newer = {**Circuit(reason="x").as_dict(), "colour": "red"}
    assert Circuit.from_dict(newer) == Circuit(reason="x")
    older = Circuit(reason="x").as_dict()
    del older["callers"]
    assert Circuit.from_dict(older) == Circuit(reason="x")
