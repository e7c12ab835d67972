"""How much of what an upstream is sent may be repetitions.

Repeating helps against a lost connection and makes an overload worse. So repetitions are a small
part of all calls: each call pays a part of one in, up to a few that are left for quiet times.
"""

from __future__ import annotations

from typing import Final

_SHARE: Final = 0.1
_MOST: Final = 10.0


class RetryBudget:
    """What is left to be spent on repetitions."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST

    def pay_in(self) -> None:
        """A call is made."""
        self._left = min(_MOST, self._left + _SHARE)

    def spend(self) -> bool:
        """Take one repetition out; say whether there was one left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
