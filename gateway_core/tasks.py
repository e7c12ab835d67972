"""Background tasks that can't be collected while they run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

_CANCEL_AGAIN_SECONDS: Final = 0.1

_running: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
    """Run a coroutine beside the caller and hold it until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def cancel(tasks: Collection[asyncio.Task[Any]], seconds: float) -> None:
    """Cancel tasks and wait until they have ended, but no longer than that.

    They are told again until they do: redis-py closes its connection when it is cancelled, and what
    that raises takes the place of the cancellation.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    running = set(tasks)
    while running and loop.time() < until:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_SECONDS)


async def finish(seconds: float) -> None:
    """Wait until what was begun in the running event loop has ended, but no longer than that."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    mine = {task for task in _running if task.get_loop() is loop and task is not me}
    if mine:
        await asyncio.wait(mine, timeout=seconds)
