"""The synchronous client of the control plane. The only module that imports requests."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
import requests
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from gateway_core import context
from gateway_core.errors import (
    FIRST_SERVER_ERROR,
    UpstreamAnswerInvalid,
    UpstreamAnswerTooLong,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway_core.pooled import give_back_connection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_core.breaker import Breaker

_CHUNK_BYTES: Final = 64 * 1024

# A field of a form: name of the file (None for a plain value), content, media type.
Part = tuple[str | None, bytes | str, str]


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """Status, headers (case-insensitive) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Return the parsed body.

        Raises:
            UpstreamAnswerInvalid: it is not JSON.
        """
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as exc:
            raise UpstreamAnswerInvalid from exc


@dataclass(slots=True)
class RestClient:
    """Calls to one upstream: no redirects, no proxies of the environment, bounded answers.

    Attributes:
        base_url: scheme, host and port, with no slash at the end.
        headers: sent with each call.
        connect_timeout, read_timeout: seconds; the latter until the answer begins, and from there
            until it is complete, which is looked at after each 64 KiB.
        limit: bytes of an answer at the most.
        breaker: leaves the upstream alone while it fails; None where that would help nobody.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    limit: int = 16 * 1024 * 1024
    breaker: Breaker | None = None
    _session: requests.Session | None = field(default=None, init=False)

    def call(  # noqa: PLR0913 - the parts of an HTTP request
        self,
        method: str,
        target: str,
        *,
        payload: Any = None,
        form: Mapping[str, Part] | None = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RestAnswer:
        """Make one call and return its answer, whatever its status.

        Args:
            payload: is sent as JSON.
            form: is sent as ``multipart/form-data``, by name.
            content: is sent as it is; its media type is the caller's to say in the headers.

        Raises:
            BreakerOpen: the upstream is being left alone.
            UpstreamUnreachable: there was no connection; nothing was sent.
            UpstreamTimeout: no answer in time.
            UpstreamInterrupted: the connection broke.
            UpstreamAnswerTooLong: the answer is longer than the limit.
        """
        give_back_connection()
        watching = self.breaker.watch_sync(context.user_id()) if self.breaker else nullcontext()
        with watching as watched, context.changing(method):
            try:
                with self._opened().request(
                    method,
                    self.base_url + target,
                    json=payload,
                    files=form,
                    data=content,
                    params=params,
                    headers={**self.headers, **(headers or {})},
                    timeout=(self.connect_timeout, self.read_timeout),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    if watched is not None:
                        watched.answered(is_failure=response.status_code >= FIRST_SERVER_ERROR)
                    body = self._body(response)
                    return RestAnswer(response.status_code, response.headers, body)
            except (requests.RequestException, OSError) as exc:
                raise _meaning(exc) from exc

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        deadline = time.monotonic() + self.read_timeout
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > self.limit:
                raise UpstreamAnswerTooLong
            if time.monotonic() > deadline:
                raise UpstreamTimeout
        return bytes(body)

    def _opened(self) -> requests.Session:
        if self._session is None:
            self._session = requests.Session()
            self._session.trust_env = False
        return self._session


def _meaning(exc: Exception) -> UpstreamError:
    """Tell apart what callers decide by: was anything sent, and is there still hope?

    requests calls a refused connection, a hang-up and a stall in the body all ConnectionError, and
    names the cause only inside.
    """
    cause = exc.args[0] if exc.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(exc, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return UpstreamUnreachable()
    if isinstance(exc, requests.Timeout) or isinstance(reason, ReadTimeoutError):
        return UpstreamTimeout()
    return UpstreamInterrupted()
