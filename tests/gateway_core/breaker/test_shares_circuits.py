from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.test import override_settings

from gateway_core import valkey
from gateway_core.breaker import Breaker, machine
from gateway_core.breaker.machine import Circuit, State
from gateway_core.breaker.store import SharedStore
from gateway_core.errors import (
    BreakerOpen,
    BreakerTripped,
)
from tests.gateway_core.breaker.circuits import (
    POLICY,
    call,
    open_it,
    settle,
)
from tests.timing import Clock


async def test_does_what_staff_say_until_they_say_otherwise(breaker: Breaker, clock: Clock) -> None:
    breaker.set_trip("maintenance")
    clock.now += 1_000_000
    await Breaker.refresh([breaker])
    with pytest.raises(BreakerTripped) as refused:
        async with breaker.watch():
            pytest.fail("nothing may go through")
    assert refused.value.retry_after == 60
    with pytest.raises(BreakerTripped):
        breaker.check()
    breaker.set_trip(None)
    await call(breaker)
    assert breaker.circuit.state is State.CLOSED


async def test_goes_on_with_what_all_know_when_a_trip_is_over(
    breaker: Breaker, clock: Clock
) -> None:
    await open_it(breaker)
    breaker.set_trip("maintenance")
    assert (breaker.circuit.until, breaker.circuit.reason) == (None, "maintenance")
    clock.now += POLICY.open_seconds
    with pytest.raises(BreakerTripped):
        breaker.check()
    breaker.set_trip(None)
    for _ in range(POLICY.probes):
        await call(breaker)
    await settle()
    assert breaker.circuit.state is State.CLOSED


async def test_shares_its_state_with_other_processes(shared: str, clock: Clock) -> None:
    one, other = (
        Breaker(shared, lambda: POLICY, store=SharedStore(), clock=clock, wall_clock=clock)
        for _ in range(2)
    )
    await open_it(one)
    async with asyncio.timeout(30):
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
        async with asyncio.timeout(30):
            while refused + admitted < 200:
                await asyncio.sleep(0.01)
        go_on.set()
    assert admitted == POLICY.probes
    async with asyncio.timeout(30):
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
        shared, lambda was: machine.opened(was, until=clock.now + 10, reason="away")
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


def test_reads_what_another_release_has_written() -> None:
    newer = {**Circuit(reason="x").as_dict(), "colour": "red"}
    assert Circuit.from_dict(newer) == Circuit(reason="x")
    older = Circuit(reason="x").as_dict()
    del older["probes"], older["blamed"]
    assert Circuit.from_dict(older) == Circuit(reason="x")


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
