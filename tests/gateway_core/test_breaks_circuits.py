from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from django.test import override_settings

from gateway_core import valkey
from gateway_core.breaker import Breaker, Policy, machine
from gateway_core.breaker.call import Call
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


async def half_open(breaker: Breaker, clock: Clock) -> None:
    """Have probes begin now; one has, and nothing is known of it."""
    await open_it(breaker)
    clock.now += POLICY.open_seconds
    await call(breaker, CallerGone())
    await settle()
    assert breaker.circuit.state is State.HALF_OPEN


async def refused(breaker: Breaker, caller: str) -> None:
    with pytest.raises(BreakerOpen):
        async with breaker.watch(caller):
            pytest.fail("there is no place")


@asynccontextmanager
async def holding(breaker: Breaker, *callers: str) -> AsyncIterator[list[Call]]:
    """Have one call of each caller under way, in this order."""
    async with AsyncExitStack() as calls:
        yield [await calls.enter_async_context(breaker.watch(caller)) for caller in callers]


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
            for _ in range(POLICY.probes):
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
            await Breaker.refresh([other])
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
            await Breaker.refresh([one])
            await Breaker.refresh([other])


async def test_hears_of_all_circuits_with_one_question(
    shared: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = SharedStore(), SharedStore()
    breakers = [
        Breaker(name, lambda: POLICY, store=here, clock=clock, wall_clock=clock)
        for name in (shared, f"{shared}-untouched")
    ]
    await elsewhere.change(
        shared, lambda was: machine.opened(was, until=None, reason="maintenance")
    )
    client: Any = valkey.client()
    asked: list[str] = []
    execute = client.execute_command

    async def listen(*command: Any, **options: Any) -> Any:
        asked.append(command[0])
        return await execute(*command, **options)

    monkeypatch.setattr(client, "execute_command", listen)
    await Breaker.refresh(breakers)

    assert asked == ["MGET"]
    assert [breaker.circuit.state for breaker in breakers] == [State.OPEN, State.CLOSED]


async def test_goes_on_alone_while_valkey_is_away(shared: str, clock: Clock) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        breaker = Breaker(
            shared, lambda: POLICY, store=SharedStore(), clock=clock, wall_clock=clock
        )
        await open_it(breaker)
        await Breaker.refresh([breaker])
        assert breaker.circuit.state is State.OPEN
        await valkey.close()


async def test_looks_once_a_second_for_a_valkey_that_was_away(shared: str, clock: Clock) -> None:
    store = SharedStore(clock)
    await SharedStore().change(shared, lambda _: Circuit(reason="of all"))
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        await valkey.close()
        await store.change(shared, lambda _: Circuit(reason="own"))
        await valkey.close()
    assert (await store.read([shared]))[shared].reason == "own"
    clock.now += 1
    assert (await store.read([shared]))[shared].reason == "of all"


def test_reads_what_another_release_has_written() -> None:
    newer = {**Circuit(reason="x").as_dict(), "colour": "red"}
    assert Circuit.from_dict(newer) == Circuit(reason="x")
    older = Circuit(reason="x").as_dict()
    del older["probes"], older["blamed"]
    assert Circuit.from_dict(older) == Circuit(reason="x")
