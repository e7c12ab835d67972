"""uvicorn's HTTP/1.1 with bounds on what a client may send, and one meaning for each request.

httptools refuses most of what two parsers could read in two ways. The rest is refused here, before
anything of the application runs. An answer to what can't be read is never written into another one:
what is being answered goes out first, and then the connection is closed.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway_core.errors import GatewayError, GatewayStopping, RequestMalformed, RequestTooSlow
from gateway_project.server import head, http10, refusals, stopping

if TYPE_CHECKING:
    import asyncio

    from gateway_project.server.config import Config
    from gateway_project.server.state import State

_BODY_FIELDS: Final = (b"content-length", b"transfer-encoding")
# In which a client that still sends may read why it was refused; closing at once would make its
# system throw the answer away.
_LINGER_SECONDS: Final = 2.0
# In which a client has to read something of what is written to it.
_UNREAD_SECONDS: Final = 60.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        app: what serves its requests.
    """

    server_state: State

    def __init__(
        self,
        config: Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = config.bounds
        self.url = b""
        self._running: RequestResponseCycle | None = None
        # Bytes that have come since the request got on.
        self._idle_bytes = 0
        # Since when a request is waited for that has begun to come, or that is the first.
        self._waits_since: float | None = None
        # What the client has not read yet of what the system takes no more of, and since when.
        self._unread_bytes = 0
        self._unread_since = 0.0
        # Since when there is no request, from the end of the process's notice on.
        self._unused_since: float | None = None
        self._is_deaf = False
        self._is_websocket = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; one too many is told so with its first request."""
        super().connection_made(transport)
        now = self._waits_since = self.loop.time()
        if not self.server_state.admit(self, most=self._bounds.connections, now=now):
            self.app = refusals.overloaded

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another one."""
        self.server_state.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._is_deaf:
            return
        self.server_state.set_busy(self)
        self._unset_keepalive_if_required()
        self._idle_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError as exc:
            self._reject(_meaning(exc))
        else:
            if self._idle_bytes > self._bounds.head_bytes:
                self._reject(head.too_large())
            elif self._waits_since is None and not self._is_answering():
                self._waits_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Serve a request whose head is whole and means one thing.

        Raises:
            RequestMalformed: it does not.
        """
        self._idle_bytes = 0
        self._waits_since = None
        version = self.parser.get_http_version()
        head.check(self.url, self.headers, version, self._bounds)
        if version == "1.0":
            self.expect_100_continue = False  # which it does not know
        self._is_websocket = self.parser.should_upgrade() and self._may_upgrade()
        super().on_headers_complete()
        if stopping.is_stopping() and not self._is_websocket:
            self.cycle.keep_alive = False
        if not self._is_websocket:
            self.url = b""
        # What comes as a header from now on is a trailer, which nobody has checked.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next request; what has begun to come has to come soon.

        That is the rest of a body that nobody reads, or the head of the next request.
        """
        super().on_response_complete()
        if self._is_answering() or self.transport.is_closing():
            return
        if self.url or self.cycle.more_body:
            self._waits_since = self.loop.time()
        else:
            self.server_state.set_idle(self, self.loop.time())

    def look(self, now: float) -> None:
        """Close the connection if it has kept the server waiting for too long."""
        if self._is_unread(now):
            self.transport.abort()  # closing would wait for all of it to be read
            return
        if self._waits_since is None or now - self._waits_since <= self._bounds.head_seconds:
            return
        self._waits_since = None
        if self.url and not self._is_deaf and not self._is_answering():
            seconds = self._bounds.head_seconds
            self._say(RequestTooSlow(f"The request did not arrive within {seconds:g} seconds."))
        else:
            self.transport.close()

    def _is_unread(self, now: float) -> bool:
        """Say whether nothing has been read for too long of what there is to read."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread_bytes or not self._unread_bytes:
            self._unread_since = now
        self._unread_bytes = unread
        return now - self._unread_since > _UNREAD_SECONDS

    def say_close(self) -> None:
        """Have the answer to what is under way say that the connection ends, if it still can.

        Where the head has gone out, the client may send its next request at once, and a connection
        that is closed under it may cost it that. The next answer says so then.
        """
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def close_if_unused(self, now: float, seconds: float) -> None:
        """Close the connection when it was unused for so long, from the first such question on."""
        if self.url or self._is_answering() or self.transport.is_closing():
            self._unused_since = None
        elif self._unused_since is None:
            self._unused_since = now
        elif now - self._unused_since >= seconds:
            self.close_if_silent()

    def close_if_silent(self) -> bool:
        """Close the connection, on which no request is known of, if none waits to be read either.

        Returns:
            whether it is being closed; not while some of an answer is still to be written.
        """
        if self.transport.get_write_buffer_size() or self._is_something_there():
            return False
        self.transport.close()
        return True

    def refuse(self) -> None:
        """Serve nothing new, nor what has begun to come."""
        self.app = refusals.stopping

    def end(self) -> None:
        """Break off what is under way."""
        if self._is_answering():
            self._break_off(GatewayStopping(retry_after=1))
        else:
            self.transport.abort()

    def _should_upgrade(self) -> bool:
        return self._is_websocket

    def _may_upgrade(self) -> bool:
        """Say whether a WebSocket is wished for, while requests are served.

        Raises:
            RequestMalformed: there is a body, which the parser would take for the other protocol.
        """
        if any(name in _BODY_FIELDS and value != b"0" for name, value in self.headers):
            raise RequestMalformed("Send no body with a wish for another protocol.")
        return super()._should_upgrade() and self.app is self.config.loaded_app

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if cycle.scope["http_version"] == "1.0":
            app = http10.until_close(app, cycle)
        super()._start_asgi_task(cycle, app)

    def _is_something_there(self) -> bool:
        """Say whether something has come that the event loop has not read yet."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _upgrade(self) -> None:
        """Go over to a WebSocket. Any other wish is not heeded, nor what comes after it."""
        if self._is_websocket and not self._is_answering():
            self.handle_websocket_upgrade()
            return
        self._is_deaf = True
        if self._is_websocket:
            self._stop_after_whole()
        else:
            self.cycle.keep_alive = False

    def _reject(self, error: GatewayError) -> None:
        """Answer what can't be read, once it is its turn."""
        running = self._running
        if running is None or running.response_complete:
            self._say(error)
        elif self.cycle is running and running.more_body:
            self._break_off(error)
        else:
            self._is_deaf = True
            self._stop_after_whole()

    def _stop_after_whole(self) -> None:
        """Close the connection after the answers to the requests that have come as a whole."""
        last: RequestResponseCycle | None = self.cycle
        if self.cycle.more_body and self.cycle is not self._running:
            self.pipeline.popleft()  # the newest
            last = self.pipeline[0][0] if self.pipeline else self._running
        if last is not None:
            last.keep_alive = False

    def _break_off(self, error: GatewayError) -> None:
        """End what is being answered: with an error, or short, if the answer has begun."""
        cycle = self._running
        if cycle is None or cycle.disconnected:
            return
        cycle.disconnected = True
        cycle.message_event.set()
        self.flow.resume_writing()
        if cycle.response_started:
            self.transport.close()
        else:
            self._say(error)

    def _say(self, error: GatewayError) -> None:
        """Write an answer of the server's own, and close as soon as it can have been read."""
        self._is_deaf = True
        self.transport.write(refusals.written(error, self.client[0] if self.client else ""))
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _meaning(exc: httptools.HttpParserError) -> GatewayError:
    """Return what was found in the head, or what the parser found."""
    found = exc.__context__
    return found if isinstance(found, GatewayError) else RequestMalformed("This is not HTTP/1.1.")
