from __future__ import annotations

import asyncio

import pytest

from gateway_core.breaker import Breaker
from gateway_core.breaker.machine import State
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
from tests.gateway_core.breaker.circuits import (
    POLICY,
    call,
    open_it,
)
from tests.timing import Clock


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


async def test_refuses_while_open_and_says_when_to_come_back(
    breaker: Breaker, clock: Clock
) -> None:
    await open_it(breaker)
    clock.now += 4
    with pytest.raises(BreakerOpen) as refusal:
        async with breaker.watch():
            pytest.fail("nothing may go through")
    assert refusal.value.retry_after == pytest.approx(6)


async def test_stays_closed_however_slow_the_calls_of_one_caller_are(
    breaker: Breaker, clock: Clock
) -> None:
    for caller in ["mallory"] * 10 + ["alice"]:
        async with breaker.watch(caller) as one:
            clock.now += 2
            one.answered()
    assert breaker.circuit.state is State.CLOSED
