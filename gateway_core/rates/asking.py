"""What one event loop asks Valkey for: all that has come up during one call, in the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway_core import valkey
from gateway_core.rates import script
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.rates.quota import Decision
    from gateway_core.rates.script import Ask

_BATCH: Final = 200
# What has ended is told with the next question, or after this time.
_LINGER_SECONDS: Final = 0.01


class Asking:
    """Has one call under way at a time, so that what it asks and tells arrives in that order.

    Args:
        tell: told of each call why it failed, None when it did not.
    """

    def __init__(self, tell: Callable[[Exception | None], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._asks: list[tuple[Ask, asyncio.Future[Decision | None]]] = []
        self._ended: list[tuple[str, str]] = []
        self._is_calling = False
        self._is_lingering = False

    async def ask(self, ask: Ask) -> Decision | None:
        """Return the decision, None when Valkey does not say."""
        decided: asyncio.Future[Decision | None] = self._loop.create_future()
        self._asks.append((ask, decided))
        self._call()
        return await decided

    def end(self, key: str, lease: str) -> None:
        """Tell soon that something is no longer under way."""
        self._ended.append((key, lease))
        if not self._is_calling and not self._is_lingering:
            self._is_lingering = True
            self._loop.call_later(_LINGER_SECONDS, self._linger)

    def _linger(self) -> None:
        self._is_lingering = False
        if self._ended:
            self._call()

    def _call(self) -> None:
        if not self._is_calling:
            self._is_calling = True
            spawn(self._call_on(), name="rates")

    async def _call_on(self) -> None:
        try:
            while self._asks or self._ended:
                asks, self._asks = self._asks[:_BATCH], self._asks[_BATCH:]
                ended, self._ended = self._ended[:_BATCH], self._ended[_BATCH:]
                await self._call_once(asks, ended)
        finally:
            self._is_calling = False

    async def _call_once(
        self,
        asks: list[tuple[Ask, asyncio.Future[Decision | None]]],
        ended: list[tuple[str, str]],
    ) -> None:
        wanted = [ask for ask, _ in asks]
        keys, arguments = script.terms(wanted, ended)
        decisions: list[Decision] | list[None] = [None] * len(asks)
        try:
            async with asyncio.timeout(valkey.TIMEOUT_SECONDS):
                answer = await script.run(valkey.single(), script.TAKE, keys, arguments)
            decisions = script.decisions(wanted, answer)
            self._tell(None)
        except valkey.AWAY as exc:
            self._tell(exc)
        finally:
            for (_, decided), decision in zip(asks, decisions, strict=True):
                if not decided.done():
                    decided.set_result(decision)
