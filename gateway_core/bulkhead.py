"""How many requests go to an upstream at once, and who is next: a short queue, fair between users.

The upstreams are the narrow place (one LiteLLM worker carries about 50 requests a second), so this
queue is where users meet each other. Of those who wait, whoever has the fewest slots gets the next
one, and among equals they go round: somebody with hundreds of waiting requests delays another's
single one by one slot at the most, and has no more slots than others who want some, as soon as
what they have under way ends (max-min fairness). A tenth of the slots is spared for users who have
none yet, so that a few of them with calls of minutes keep nobody else out; a user alone may have
all but those. What was given of that tenth is replaced by slots that come free, before anybody gets
them who has their share already.

Nobody's call is ended for that, but for one that makes its slot wait for its client; see
``wants_back``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway_core.errors import GatewayOverloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

_SPARED_PART: Final = 10


class Bulkhead:
    """The slots of one upstream in one process.

    Args:
        slots: returns how many requests may be under way at once.
        places: returns how many may wait for that.
        patience_seconds: returns for how long one waits.
    """

    def __init__(
        self,
        *,
        slots: Callable[[], int],
        places: Callable[[], int],
        patience_seconds: Callable[[], float],
    ) -> None:
        self._slots = slots
        self._places = places
        self._patience_seconds = patience_seconds
        # In the order in which the users get their next slots.
        self._queues: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._held: dict[Hashable, int] = {}
        # Those who had none, and got one of the tenth.
        self._spared: set[Hashable] = set()
        self.in_use = 0
        self.waiting = 0

    @asynccontextmanager
    async def slot(self, user: Hashable) -> AsyncIterator[None]:
        """Hold one slot for the block, as soon as it is this user's turn.

        Raises:
            GatewayOverloaded: the queue is full, or it was too long.
        """
        if not self.waiting and self._may_take(user):
            self._take(user)
        else:
            await self._wait(user)
        try:
            yield
        finally:
            self._give_back(user)

    def wants_back(self, user: Hashable) -> bool:
        """Say whether others wait while this user has more slots than their share.

        That is the same for all who have or want any.
        """
        if not any(one != user for one in self._queues):
            return False
        return self._held.get(user, 0) > max(1, self._share_of(self._slots()))

    def _may_take(self, user: Hashable) -> bool:
        slots = self._slots()
        if user not in self._held:
            return self.in_use < slots
        for_all = _for_all(slots)
        if self.in_use < for_all:
            return True
        has_free = self.in_use < slots and self.in_use - len(self._spared) < for_all
        return has_free and self._held[user] < self._share_of(for_all)

    def _share_of(self, slots: int) -> int:
        return slots // max(1, len(self._held.keys() | self._queues.keys()))

    def _take(self, user: Hashable) -> None:
        if self.in_use - len(self._spared) >= _for_all(self._slots()):
            self._spared.add(user)
        self.in_use += 1
        self._held[user] = self._held.get(user, 0) + 1

    def _give_back(self, user: Hashable) -> None:
        self._spared.discard(user)
        self.in_use -= 1
        left = self._held.pop(user) - 1
        if left:
            self._held[user] = left
        if self.waiting:
            self._admit()

    async def _wait(self, user: Hashable) -> None:
        if self.waiting >= self._places():
            self._make_room(user)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(user, deque()).append(turn)
        self.waiting += 1
        self._admit()  # the cap may have been raised since the last one left
        try:
            async with asyncio.timeout(self._patience_seconds()):
                await turn
        except BaseException as exc:
            self._leave(user, turn)
            if isinstance(exc, TimeoutError):
                raise _overloaded() from exc
            raise

    def _make_room(self, user: Hashable) -> None:
        """Send away the newest request of whoever has the most, which may be the one that asks."""
        longest = max(self._queues, key=lambda one: len(self._queues[one]), default=user)
        queue = self._queues.get(longest)
        if queue is None or len(queue) <= len(self._queues.get(user, ())) + 1:
            raise _overloaded()
        turn = queue.pop()  # more than one is left, so the user keeps their place in the round
        self.waiting -= 1
        if not turn.done():
            turn.set_exception(_overloaded())

    def _admit(self) -> None:
        """Give free slots to those who wait, to whoever has the fewest and waits the longest."""
        while self.waiting:
            user = min(self._queues, key=lambda one: self._held.get(one, 0))
            if not self._may_take(user):
                return
            queue = self._queues.pop(user)
            turn = queue.popleft()
            if queue:
                self._queues[user] = queue  # to the end of the round
            self.waiting -= 1
            if turn.done():  # it was cancelled just now, and has not left by itself yet
                continue
            self._take(user)
            turn.set_result(None)

    def _leave(self, user: Hashable, turn: asyncio.Future[None]) -> None:
        """Undo what a request has that will not go on: its place, or a slot it was given."""
        queue = self._queues.get(user)
        if queue is not None and turn in queue:
            queue.remove(turn)
            self.waiting -= 1
            if not queue:
                del self._queues[user]
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self._give_back(user)


def _for_all(slots: int) -> int:
    """Return how many of the slots are not spared for those who have none."""
    return slots - slots // _SPARED_PART


def _overloaded() -> GatewayOverloaded:
    return GatewayOverloaded(retry_after=1)
