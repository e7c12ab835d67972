"""How many requests one user may have under way at once in a process."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway_core.errors import TooManyConcurrent

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator


class ConcurrencyCap:
    """How many requests of one kind a process has under way at once for each user.

    Args:
        maximum_each: returns the cap.
    """

    __slots__ = ("_maximum_each", "_of_user")

    def __init__(self, maximum_each: Callable[[], int]) -> None:
        self._maximum_each = maximum_each
        self._of_user: Counter[Hashable] = Counter()

    @contextmanager
    def hold(self, user: Hashable) -> Iterator[None]:
        """Hold one place for the block.

        Raises:
            TooManyConcurrent: this user holds as many as one may.
        """
        if self._of_user[user] >= self._maximum_each():
            raise TooManyConcurrent(
                f"You have {self._of_user[user]} requests under way, which is the most at once. "
                "Wait for one to end.",
                retry_after=1,
            )
        self._of_user[user] += 1
        try:
            yield
        finally:
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]
