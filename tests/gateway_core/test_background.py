from __future__ import annotations

import asyncio
import threading
from weakref import WeakSet

import pytest
import structlog
from asgiref.sync import sync_to_async

from gateway_core import background
from gateway_core.errors import UpstreamUnreachable


@pytest.fixture(autouse=True)
def _nothing_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_serving", WeakSet())


async def close() -> None:
    """There is nothing to close."""


async def test_leaves_work_to_the_loop_that_serves() -> None:
    background.serve()
    may_end, is_done = asyncio.Event(), asyncio.Event()
    where: list[threading.Thread] = []

    async def work() -> None:
        where.append(threading.current_thread())
        await may_end.wait()
        is_done.set()

    await sync_to_async(background.in_background)(work, name="test", close=close)
    assert not is_done.is_set()
    may_end.set()
    async with asyncio.timeout(30):
        await is_done.wait()
    assert where == [threading.current_thread()]


def test_does_work_at_once_where_nothing_serves() -> None:
    done: list[int] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(1)

    async def close_it() -> None:
        done.append(2)

    background.in_background(work, name="test", close=close_it)
    assert done == [1, 2]


def test_a_failure_goes_no_further_than_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[lines])
    monkeypatch.setattr(background, "_log", logger)

    async def work() -> None:
        raise UpstreamUnreachable

    background.in_background(work, name="delivery", close=close)
    (line,) = lines.entries
    assert (line["event"], line["work"]) == ("background work failed", "delivery")


def test_what_is_waited_for_may_fail_and_is_closed() -> None:
    done: list[str] = []

    async def work() -> None:
        raise UpstreamUnreachable

    async def close_it() -> None:
        done.append("closed")

    with pytest.raises(UpstreamUnreachable):
        background.wait_for(work, close=close_it)
    assert done == ["closed"]


async def test_waits_in_the_loop_that_serves_and_closes_nothing_there() -> None:
    background.serve()
    where: list[object] = []

    async def work() -> None:
        where.append(asyncio.get_running_loop())

    async def close_it() -> None:
        where.append("closed")

    await sync_to_async(background.wait_for)(work, close=close_it)
    assert where == [asyncio.get_running_loop()]


async def test_goes_on_serving_when_another_loop_of_the_process_does_too() -> None:
    background.serve()

    async def begin() -> None:
        background.serve()

    await asyncio.to_thread(asyncio.run, begin())
    closed: list[str] = []

    async def work() -> None:
        return

    async def close_it() -> None:
        closed.append("closed")

    await sync_to_async(background.wait_for)(work, close=close_it)
    assert not closed
    background.stop_serving()
    await sync_to_async(background.wait_for)(work, close=close_it)
    assert closed == ["closed"]
