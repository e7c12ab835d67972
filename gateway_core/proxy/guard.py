"""From where a request under way is ended: its caller has left or may no longer, or time is up.

A timer for each request, moved with each piece of a stream, would be a good part of what relaying
costs. Deadlines are checked together instead, a few times a second.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Self

from gateway_core import cache
from gateway_core.errors import (
    CallerError,
    CallerGone,
    GatewayError,
    GatewayOverloaded,
    PolicyError,
    RequestTooSlow,
    UpstreamTimeout,
)
from gateway_core.postgresql.away import AWAY
from gateway_core.proxy.deadline import Deadline
from gateway_core.proxy.identify import identify
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

    from gateway_core.proxy.exchange import Exchange

_SWEEP_SECONDS: Final = 0.1
# A call that has waited for its client for so long, in all, is the first to go when others wait.
_CLIENT_SECONDS: Final = 5.0
# Between two tries at proving again what has ended, where nobody could say.
_PROOF_SECONDS: Final = 0.5

_NONE: Final[set[Guard]] = set()
_under_way: dict[asyncio.AbstractEventLoop, set[Guard]] = {}
# When ``recheck`` was last called, in monotonic seconds.
_latest_recheck = 0.0


class Guard:
    """Ends the block it guards with the error that ``end`` is given.

    Attributes:
        deadline: of the upstream, or of the client who does not read what has come.
    """

    __slots__ = (
        *("_error", "_exchange", "_listener", "_loop", "_proof_at", "_seconds", "_task"),
        "deadline",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._listener: asyncio.Task[None] | None = None
        self._error: GatewayError | None = None
        self._seconds = 0.0
        self._proof_at = 0.0
        self.deadline = Deadline(exchange.upstream.timeouts(), self._loop.time)

    def end(self, error: GatewayError) -> None:
        """End the block. The first error counts."""
        if self._error is None and self._task is not None:
            self._error = error
            self._task.cancel()

    def time_is_over(self) -> None:
        """End the block: nothing has moved for too long, by the fault of one side or the other."""
        if not self._exchange.is_waiting_for_client:
            self.end(UpstreamTimeout())
        elif self._exchange.started:
            self._exchange.client_gone = True
            self.end(CallerGone("The answer was not read."))
        else:
            self.end(RequestTooSlow("The body did not arrive in time. Send it faster."))

    def is_to_give_way(self) -> bool:
        """Say whether others wait for the slot of a user with many, which waits for its client.

        Asked with each sweep: how long the client took is what the sweeps have seen, so that
        relaying costs nothing for it.
        """
        if self._error is not None or not self._exchange.is_waiting_for_client:
            return False
        self._seconds += _SWEEP_SECONDS
        bulkhead, user_id = self._exchange.upstream.bulkhead, self._exchange.principal.user_id
        return self._seconds > _CLIENT_SECONDS and bulkhead.wants_back(user_id)

    def give_way(self) -> None:
        """End the block in favour of others, who may keep up with the upstream."""
        if self._exchange.started:
            self._exchange.client_gone = True
            self.end(CallerGone("The answer was read slowly while others waited."))
        else:
            self.end(GatewayOverloaded("Others wait. Send the body faster.", retry_after=1))

    def prove_when_over(self, now: float) -> None:
        """Have the block prove itself again once what has let it in is over."""
        if self._exchange.principal.stands_until <= time.time() and self._proof_at <= now:
            self._proof_at = now + _PROOF_SECONDS
            spawn(self._prove_again())

    def listen(self) -> None:
        """Begin to hear the client's leaving, which ends the block with CallerGone.

        Only once the request body has been taken in: until then whoever reads the body hears of it.
        An operation that must finish is not ended so.
        """
        if not self._exchange.operation.must_finish:
            self._listener = spawn(self._listen())

    async def __aenter__(self) -> Self:
        guards = _under_way.get(self._loop)
        if guards is None:
            guards = _under_way[self._loop] = set()
            self._loop.call_later(_SWEEP_SECONDS, _sweep, self._loop)
        guards.add(self)
        # What changed since this request was let in has found no guard of it to tell.
        if _latest_recheck >= self._exchange.record.started:
            try:
                await self._prove_again()
            except BaseException as exc:  # this block is not entered, so nothing would leave it
                await self.__aexit__(type(exc), exc, exc.__traceback__)
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        _under_way.get(self._loop, _NONE).discard(self)
        if self._listener is not None:
            self._listener.cancel()
        if self._error is not None and self._task is not None:
            # Our own cancel is taken back; any other, like the server's, goes on.
            is_ours = self._task.uncancel() == 0
            if is_ours and kind is asyncio.CancelledError:
                raise self._error from value

    async def _listen(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._exchange.client_gone = True
        self.end(CallerGone())

    async def _prove_again(self) -> None:
        try:
            await identify(self._exchange)
        except (CallerError, PolicyError) as error:
            self.end(error)
        except (GatewayError, *AWAY):
            return  # nobody can say right now


def recheck(user_id: UUID | None = None) -> None:
    """Have what is under way for a user, or for all, prove itself again; end what no longer can.

    May be called from any thread.
    """
    global _latest_recheck  # noqa: PLW0603 - see Guard.__aenter__
    _latest_recheck = time.monotonic()
    for loop in list(_under_way):
        if not loop.is_closed():
            loop.call_soon_threadsafe(_recheck, loop, user_id)


def end_all(error: GatewayError) -> None:
    """End everything that is under way in the running event loop."""
    for guard in list(_under_way.get(asyncio.get_running_loop(), _NONE)):
        guard.end(error)


def _recheck(loop: asyncio.AbstractEventLoop, user_id: UUID | None) -> None:
    for guard in list(_under_way.get(loop, _NONE)):
        if user_id in {None, guard._exchange.principal.user_id}:  # noqa: SLF001 - the same module
            spawn(guard._prove_again())  # noqa: SLF001


def _sweep(loop: asyncio.AbstractEventLoop) -> None:
    guards = _under_way[loop]
    if not guards:
        del _under_way[loop]
        return
    now = loop.time()
    in_the_way = None
    for guard in list(guards):
        if guard.deadline.is_over(now):
            guard.time_is_over()
            continue
        guard.prove_when_over(now)
        if guard.is_to_give_way():
            in_the_way = guard
    if in_the_way is not None:  # one at a time: the others may be the share of their users then
        in_the_way.give_way()
    loop.call_later(_SWEEP_SECONDS, _sweep, loop)


cache.on_clear(recheck)
