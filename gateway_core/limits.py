"""Caps that protect an upstream, and the process, from more than they can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.errors import GatewayOverloaded

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class ConcurrencyCap:
    """How many requests of one kind a process has under way at once.

    A context manager for the event loop's thread; over the cap it raises GatewayOverloaded.
    """

    __slots__ = ("_maximum", "in_use")

    def __init__(self, maximum: Callable[[], int]) -> None:
        self._maximum = maximum
        self.in_use = 0

    def __enter__(self) -> None:
        if self.in_use >= self._maximum():
            raise GatewayOverloaded(retry_after=1)
        self.in_use += 1

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.in_use -= 1
