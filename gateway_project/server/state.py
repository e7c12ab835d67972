"""The connections of a process, and room among them: the longest idle one makes way."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from uvicorn.server import ServerState

if TYPE_CHECKING:
    from gateway_project.server.protocol import BoundedProtocol

# A client may be about to send on one that is idle for less.
_IDLE_SECONDS: Final = 1.0


class State(ServerState):
    """What uvicorn knows of connections, and what may be closed for a newcomer.

    Addresses say nothing of who keeps many: behind a load balancer they are all its own.
    """

    def __init__(self) -> None:
        super().__init__()
        # Since when, by the loop's clock; the longest idle first.
        self._idle: OrderedDict[BoundedProtocol, float] = OrderedDict()
        self._refused: set[BoundedProtocol] = set()

    def admit(self, newcomer: BoundedProtocol, *, most: int, now: float) -> bool:
        """Say whether a connection that has been made is one of the most that there may be."""
        if len(self.connections) - len(self._refused) > most and not self._make_room(now):
            self._refused.add(newcomer)
            return False
        self.set_idle(newcomer, now)
        return True

    def set_idle(self, connection: BoundedProtocol, now: float) -> None:
        """Nothing of a request is there, from now on."""
        self._idle[connection] = now

    def set_busy(self, connection: BoundedProtocol) -> None:
        """Something has come."""
        self._idle.pop(connection, None)

    def forget(self, connection: BoundedProtocol) -> None:
        """The connection is closed."""
        self._idle.pop(connection, None)
        self._refused.discard(connection)

    def _make_room(self, now: float) -> bool:
        """Close the longest idle connection; say whether there was one."""
        while self._idle:
            connection, since = next(iter(self._idle.items()))
            if now - since < _IDLE_SECONDS:
                return False
            del self._idle[connection]
            if connection.close_if_silent():
                return True
            self._idle[connection] = now  # which also ends this loop when all are like that
        return False
