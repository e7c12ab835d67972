"""Background tasks that can't be collected while they run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_running: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
    """Run a coroutine beside the caller and hold it until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def finish(seconds: float) -> None:
    """Wait until what was begun in the running event loop has ended, but no longer than that."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    mine = {task for task in _running if task.get_loop() is loop and task is not me}
    if mine:
        await asyncio.wait(mine, timeout=seconds)
