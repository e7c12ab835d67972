"""The data plane's coroutines, waited for by synchronous code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gateway_core import background
from letta_proxy import client
from llm_proxy import services as llm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ResultT = TypeVar("ResultT")


def wait_for(function: Callable[..., Awaitable[ResultT]], *arguments: Any) -> ResultT:
    """Return what a coroutine function does. Raises what it does."""
    results: list[ResultT] = []

    async def work() -> None:
        results.append(await function(*arguments))

    background.wait_for(work, close=_close)
    return results[0]


async def _close() -> None:
    await client.upstream().close()
    await llm.close()
