"""A server that could not open what is stored says so, and does not start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway_project.lifecycle import Lifecycle

# What goes on beside the requests asks the database, which has its name only then.
pytestmark = pytest.mark.usefixtures("django_db_setup")


async def _application(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("nothing is served")


async def _start(lifecycle: Lifecycle) -> dict[str, Any]:
    told: asyncio.Queue[Any] = asyncio.Queue()
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asked.put_nowait({"type": "lifespan.startup"})
    life = asyncio.ensure_future(lifecycle({"type": "lifespan"}, asked.get, told.put))
    answer = await told.get()
    asked.put_nowait({"type": "lifespan.shutdown"})
    async with asyncio.timeout(30):
        await life
    return dict(answer)


async def test_says_why_it_does_not_start() -> None:
    async def fault() -> str:
        return "An encryption key is missing."

    assert await _start(Lifecycle(_application, fault=fault)) == {
        "type": "lifespan.startup.failed",
        "message": "An encryption key is missing.",
    }


@pytest.mark.parametrize("error", [None, OSError("the database is away")])
async def test_starts_when_nothing_is_wrong_or_nobody_knows(error: Exception | None) -> None:
    async def fault() -> None:
        if error:
            raise error

    answer = await _start(Lifecycle(_application, fault=fault))
    assert answer == {"type": "lifespan.startup.complete"}
