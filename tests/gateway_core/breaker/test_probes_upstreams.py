from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway_core.breaker import Breaker
from gateway_core.breaker.machine import State, opened
from gateway_core.breaker.store import OwnStore
from gateway_core.errors import (
    BreakerOpen,
    CallerGone,
    ResourceNotFound,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamUnreachable,
)
from tests.gateway_core.breaker.circuits import (
    POLICY,
    call,
    half_open,
    holding,
    open_it,
    refused,
    settle,
)
from tests.timing import Clock


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


async def test_lets_no_more_probes_through_when_the_first_have_succeeded(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    probes = 0
    go_on = asyncio.Event()

    async def one(number: int) -> None:
        nonlocal probes
        with suppress(BreakerOpen):
            async with breaker.watch(f"caller {number}"):
                probes += 1
                if probes == POLICY.probes:
                    await go_on.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(1000):
            group.create_task(one(number))
            await settle()
        assert probes == POLICY.probes
        go_on.set()
    await settle()
    assert breaker.circuit.state is State.CLOSED


async def test_says_when_a_place_is_free_again_while_others_are_tried(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    async with holding(breaker, "alice", "bob", "carol"):
        with pytest.raises(BreakerOpen) as refusal:
            async with breaker.watch("dave"):
                pytest.fail("there is no place")
    assert refusal.value.retry_after == POLICY.probe_seconds


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
        await call(breaker, caller="alice")
        await settle()
        await refused(breaker, "alice")  # as many probes as there may be
        clock.now += POLICY.probe_seconds
        for _ in range(POLICY.probes - 1):
            await call(breaker, caller="alice")
            await settle()
        assert breaker.circuit.state is State.CLOSED
        go_on.set()


async def test_opens_again_for_failures_of_enough_callers_only(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    states = []
    for caller in (*["mallory"] * 10, *["malice"] * 10, "alice"):
        await call(breaker, UpstreamFailed(), caller=caller)
        await settle()
        states.append(breaker.circuit.state)
    assert states == [State.HALF_OPEN] * 20 + [State.OPEN]


async def test_is_decided_by_the_heads_of_answers_that_go_on(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    async with holding(breaker, "mallory", "mallory", "malice") as calls:
        for one in calls:
            assert breaker.circuit.state is State.HALF_OPEN
            one.answered()
            await settle()
        assert breaker.circuit.state is State.CLOSED


async def test_gives_the_places_of_probes_without_an_answer_to_others(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    async with holding(breaker, "mallory", "mallory", "malice"):
        await refused(breaker, "alice")
        clock.now += POLICY.probe_seconds
        await refused(breaker, "mallory")
        async with holding(breaker, "malice"):
            await refused(breaker, "malice")
            for _ in range(POLICY.probes - 1):
                await call(breaker, caller="alice")
                await settle()
            clock.now += POLICY.probe_seconds
            await call(breaker, caller="alice")
            await settle()
            assert breaker.circuit.state is State.CLOSED


async def test_counts_a_probe_whose_answer_comes_after_its_time(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    async with holding(breaker, "a", "b") as calls:
        clock.now += POLICY.probe_seconds
        for one in calls:
            one.begin()  # not slow: an answer may have to wait for its turn
            one.answered()
        await settle()
        assert breaker.circuit.successes == 2


async def test_gives_nobody_more_probes_who_leaves_each_time(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    for _ in range(POLICY.probes - 1):
        await call(breaker, CallerGone(), caller="mallory")
        await settle()
    await refused(breaker, "mallory")
    async with holding(breaker, "alice", "alice", "bob"):
        pass


async def test_lets_callers_try_on_whom_the_upstream_tells_off(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    for _ in range(10):
        with suppress(ResourceNotFound):
            async with breaker.watch("alice") as one:
                one.answered(is_failure=None)
                raise ResourceNotFound
        await settle()
    assert (breaker.circuit.state, breaker.circuit.successes) == (State.HALF_OPEN, 0)


async def test_opens_again_when_an_answer_breaks_off_meanwhile(
    breaker: Breaker, clock: Clock
) -> None:
    await half_open(breaker, clock)
    with suppress(UpstreamInterrupted):
        async with breaker.watch() as one:
            one.answered()
            await settle()
            assert breaker.circuit.successes == 1
            raise UpstreamInterrupted
    await settle()
    assert breaker.circuit.state is State.OPEN


@pytest.mark.parametrize(
    ("callers", "state"), [("aaa", State.CLOSED), ("aab", State.CLOSED), ("abc", State.OPEN)]
)
async def test_opens_again_for_slow_probes_of_enough_callers(
    breaker: Breaker, clock: Clock, callers: str, state: State
) -> None:
    await half_open(breaker, clock)
    for caller in callers:
        async with breaker.watch(caller) as one:
            clock.now += 2
            one.answered()
        await settle()
    assert breaker.circuit.state is state


def test_is_closed_by_probes_of_the_control_plane(clock: Clock) -> None:
    store = OwnStore()
    breaker = Breaker("test", lambda: POLICY, store=store, clock=clock, wall_clock=clock)
    tripped = store.change("test", lambda was: opened(was, until=clock.now, reason=""))
    breaker.circuit, _ = asyncio.run(tripped)
    states = []
    for _ in range(POLICY.probes):
        with breaker.watch_sync("alice") as one:
            one.answered()
        states.append(breaker.circuit.state)
    assert states == [State.HALF_OPEN, State.HALF_OPEN, State.CLOSED]
