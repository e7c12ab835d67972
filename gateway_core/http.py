"""The pooled asynchronous client of the data plane: one for each upstream in a process.

The only module that imports aiohttp. Its exceptions end here, as ``gateway_core.errors``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson
from django.views.decorators.debug import sensitive_variables
from yarl import URL

from gateway_core import context
from gateway_core.errors import (
    UpstreamAnswerInvalid,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

# uvicorn, which serves both Letta and LiteLLM, closes idle connections after 5 s; leaving before
# it does means that a request never meets a connection that is being closed.
_KEEPALIVE_SECONDS: Final = 4.0
_READ_BUFFER_BYTES: Final = 64 * 1024
_USER_AGENT: Final = "ai-agent-gateway"


class UpstreamResponse:
    """An answer whose head is here and whose body is still on its way."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header fields as they came."""
        return self._response.raw_headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, in pieces of whatever size the network gave.

        Raises:
            UpstreamInterrupted: it broke off.
        """
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except aiohttp.ClientError as exc:
            raise UpstreamInterrupted from exc

    async def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            UpstreamAnswerInvalid: it is longer than ``limit`` bytes.
            UpstreamInterrupted: it broke off.
        """
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise UpstreamAnswerInvalid
        return bytes(body)

    def close(self, *, reusable: bool) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        if reusable:
            self._response.release()
        else:
            self._response.close()


@dataclass(slots=True)
class UpstreamClient:
    """Connections to one upstream: a pool for each event loop, opened on first use there.

    Servers have one loop; jobs beside it and commands may have others, each for a short while.

    Attributes:
        name: the upstream's name in logs and metrics.
        base_url: scheme, host and port, with no slash at the end.
        connect_timeout: seconds for a connection.
        max_connections: how many at once; a request waits for one as long as its caller lets it.
    """

    name: str
    base_url: str
    connect_timeout: float
    max_connections: int
    _sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = field(
        default_factory=dict, init=False
    )

    @sensitive_variables()
    async def open(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None = None,
    ) -> UpstreamResponse:
        """Send a request and return when the head of the answer has come.

        Redirects are answers like any other: they are not followed. The time until the head is
        the caller's to bound.

        Args:
            target: the encoded path and query, from the slash on.

        Raises:
            UpstreamUnreachable: there was no connection, or none in time; nothing was sent.
            UpstreamInterrupted: the connection broke before the answer.
            UpstreamAnswerInvalid: the answer is not HTTP.
        """
        try:
            response = await self._opened().request(
                method,
                URL(self.base_url + target, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
            )
        except aiohttp.ConnectionTimeoutError as exc:
            raise UpstreamUnreachable from exc
        except (TimeoutError, aiohttp.ServerTimeoutError) as exc:
            raise UpstreamTimeout from exc
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as exc:
            raise UpstreamUnreachable from exc
        except aiohttp.ClientResponseError as exc:
            raise UpstreamAnswerInvalid from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamInterrupted from exc
        return UpstreamResponse(response)

    @sensitive_variables()
    async def fetch(  # noqa: PLR0913 - the parts of an HTTP request
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        payload: Any = None,
        timeout_seconds: float = 30.0,
        limit: int = 4 * 1024 * 1024,
    ) -> tuple[int, Any]:
        """Make a small JSON call of the gateway's own and return status and parsed answer.

        An answer that is not JSON comes back as text. Raises as ``open`` does.
        """
        sent = dict(headers)
        body = None
        if payload is not None:
            body = orjson.dumps(payload)
            sent["content-type"] = "application/json"
        with context.changing(method):
            try:
                async with asyncio.timeout(timeout_seconds):
                    response = await self.open(method, target, headers=sent, body=body)
                    try:
                        content = await response.read(limit)
                    finally:
                        response.close(reusable=True)
            except TimeoutError as exc:
                raise UpstreamTimeout from exc
        try:
            return response.status, orjson.loads(content) if content else None
        except orjson.JSONDecodeError:
            return response.status, content.decode("utf-8", "replace")

    async def close(self) -> None:
        """Close the pool of the running loop."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    def __del__(self) -> None:
        """Close what nobody closed."""
        for loop in list(self._sessions):
            self._abandon(loop)

    def _opened(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            for bygone in [one for one in list(self._sessions) if one.is_closed()]:
                self._abandon(bygone)
            session = self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self.max_connections,
                    keepalive_timeout=_KEEPALIVE_SECONDS,
                    enable_cleanup_closed=False,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self.connect_timeout, sock_read=None
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=_READ_BUFFER_BYTES,
                trust_env=False,
                skip_auto_headers=("accept-encoding", "accept", "user-agent"),
                headers={"user-agent": _USER_AGENT},
            )
        return session

    def _abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of the pool of another loop, whose closing can't be awaited in this one."""
        session = self._sessions.pop(loop, None)
        if session is None or session.connector is None:
            return
        connector = session.connector
        session.detach()
        if loop.is_closed():
            connector._close()  # noqa: SLF001 - the public method wants to be awaited
        else:
            loop.call_soon_threadsafe(connector._close)  # noqa: SLF001 - as above
