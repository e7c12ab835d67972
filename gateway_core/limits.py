"""Caps that protect an upstream, and the process, from more than they can carry."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway_core.errors import GatewayOverloaded, TooManyConcurrent

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator


class ConcurrencyCap:
    """How many requests of one kind a process has under way at once, in all and for each user.

    Args:
        maximum, maximum_each: return the caps.
    """

    __slots__ = ("_maximum", "_maximum_each", "_of_user", "in_use")

    def __init__(self, maximum: Callable[[], int], maximum_each: Callable[[], int]) -> None:
        self._maximum = maximum
        self._maximum_each = maximum_each
        self._of_user: Counter[Hashable] = Counter()
        self.in_use = 0

    @contextmanager
    def hold(self, user: Hashable) -> Iterator[None]:
        """Hold one place for the block.

        Raises:
            TooManyConcurrent: this user holds as many as one may.
            GatewayOverloaded: all places are held.
        """
        if self._of_user[user] >= self._maximum_each():
            raise TooManyConcurrent(
                f"You have {self._of_user[user]} requests under way, which is the most at once. "
                "Wait for one to end.",
                retry_after=1,
            )
        if self.in_use >= self._maximum():
            raise GatewayOverloaded(retry_after=1)
        self.in_use += 1
        self._of_user[user] += 1
        try:
            yield
        finally:
            self.in_use -= 1
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]
