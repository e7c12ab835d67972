"""Background tasks end when they are told to."""

from __future__ import annotations

import asyncio

from gateway_core.tasks import cancel


async def test_ends_a_task_that_lost_its_first_cancellation() -> None:
    times = 0

    async def goes_on() -> None:
        nonlocal times
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                times += 1
                if times == 2:
                    raise

    task = asyncio.ensure_future(goes_on())
    await asyncio.sleep(0)
    await cancel([task], 5)

    assert task.cancelled()
    assert times == 2


async def test_waits_no_longer_than_it_is_told_for_a_task_that_does_not_end() -> None:
    let_go = asyncio.Event()

    async def holds_on() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.ensure_future(holds_on())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await cancel([task], 0.05)

    assert not task.done()
    let_go.set()
    await task


async def test_cancels_nothing_at_once() -> None:
    await cancel([], 5)
