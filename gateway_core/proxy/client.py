"""The client's leaving, noticed while its request is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from gateway_core.errors import CallerGone
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from types import TracebackType

    from gateway_core.proxy.exchange import Exchange


class ClientWatch:
    """Cancels the block it guards when the client leaves, and raises CallerGone from it.

    ``start`` it once the request body has been taken in: until then the reader of the body is the
    one who hears of it. An operation that must finish is not watched.
    """

    __slots__ = ("_exchange", "_parent", "_watcher")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._parent: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[object] | None = None

    def start(self) -> None:
        """Begin to listen."""
        if not self._exchange.operation.must_finish:
            self._watcher = spawn(self._listen())

    async def __aenter__(self) -> Self:
        self._parent = asyncio.current_task()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        is_ours = kind is asyncio.CancelledError and self._exchange.client_gone
        # Our own cancel is taken back; any other, like the server's, goes on.
        if is_ours and self._parent and self._parent.uncancel() == 0:
            raise CallerGone

    async def _listen(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._exchange.client_gone = True
        if self._parent is not None:
            self._parent.cancel()
