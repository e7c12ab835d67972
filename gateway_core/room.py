"""Room for bytes that all requests of this process share: what is more is refused in time.

Whoever has something in it has to leave as much as that to others: one of them has half of it all
at the most, another one half of the rest. So nobody's large bodies keep out everybody's small ones.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core.errors import GatewayOverloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Room:
    """Room for so many bytes. Of one thread, the event loop's.

    Args:
        size: returns how many there is room for now.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._held_by: Counter[Hashable] = Counter()
        self._held = 0

    def take(self, who: Hashable, size: int) -> None:
        """Count bytes until they are given back.

        Raises:
            GatewayOverloaded: they have too many in it, or all together have.
        """
        if self._held_by[who] + size > self._size() - self._held - size:
            raise GatewayOverloaded(retry_after=1)
        self._held += size
        self._held_by[who] += size

    def give_back(self, who: Hashable, size: int) -> None:
        """Their bytes are free again."""
        self._held -= size
        self._held_by[who] -= size
        if not self._held_by[who]:
            del self._held_by[who]

    def share(self, who: Hashable) -> Share:
        """Return the part of one request of theirs, which is empty yet."""
        return Share(self, who)

    def held(self) -> int:
        """Return how many bytes are in it now."""
        return self._held


class Share:
    """What one request has in a room."""

    __slots__ = ("_held", "_room", "_who")

    def __init__(self, room: Room, who: Hashable) -> None:
        self._room = room
        self._who = who
        self._held = 0

    def take(self, size: int) -> None:
        """Count bytes; raises as ``Room.take``."""
        self._room.take(self._who, size)
        self._held += size

    def let_go(self) -> None:
        """All of them are free again."""
        if self._held:
            self._room.give_back(self._who, self._held)
            self._held = 0


# Of users, by their ids, on both planes.
USERS: Final = Room(lambda: settings.MAX_HELD_BYTES)
