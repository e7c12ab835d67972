from __future__ import annotations

import asyncio
import threading

import pytest
import structlog
from asgiref.sync import sync_to_async

from gateway_core import background
from gateway_core.errors import UpstreamUnreachable


@pytest.fixture(autouse=True)
def _nothing_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_serving", None)


async def test_leaves_work_to_the_loop_that_serves() -> None:
    background.serve()
    may_end, is_done = asyncio.Event(), asyncio.Event()
    where: list[threading.Thread] = []

    async def work() -> None:
        where.append(threading.current_thread())
        await may_end.wait()
        is_done.set()

    await sync_to_async(background.in_background)(work, name="test")
    assert not is_done.is_set()
    may_end.set()
    async with asyncio.timeout(1):
        await is_done.wait()
    assert where == [threading.current_thread()]


def test_does_work_at_once_where_nothing_serves() -> None:
    done: list[int] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(1)

    background.in_background(work, name="test")
    assert done == [1]


def test_a_failure_goes_no_further_than_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[lines])
    monkeypatch.setattr(background, "_log", logger)

    async def work() -> None:
        raise UpstreamUnreachable

    background.in_background(work, name="delivery")
    (line,) = lines.entries
    assert (line["event"], line["work"]) == ("background work failed", "delivery")
