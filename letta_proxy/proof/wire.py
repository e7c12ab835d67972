"""A client that tidies nothing: paths, repeated headers and bodies go out as they are given."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TIMEOUT_SECONDS: Final = 120
_SILENCE_SECONDS: Final = 5
_TOO_MANY_REQUESTS: Final = 429
_LONGEST_WAIT_SECONDS: Final = 30.0
_TRIES: Final = 3
_ADVICE: Final = (
    "Put the users on a plan with more requests, or start the gateway with "
    "ENABLE_RATE_LIMITING=false for as long as this takes."
)
BOUNDARY: Final = "proof-of-isolation"


class LimitsReached(OSError):
    """The gateway lets this user send nothing for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent.

    Attributes:
        target: path and query below the gateway's address, as it goes over the wire.
        body: an object for JSON, bytes for a form; None for none.
        headers: beside those of the body and the token.
    """

    method: str
    target: str
    body: Any = None
    headers: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; ``seconds`` from the request's first byte to the answer's last."""

    status: int
    headers: str
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Headers and body, to look for words in."""
        return f"{self.headers}\n{self.body.decode('utf-8', 'replace')}"

    def json(self) -> Any:
        """Return the parsed body, None when it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


@dataclass(slots=True)
class Caller:
    """Somebody who calls the gateway, on one connection.

    Attributes:
        base_url: of the gateway.
        token: None for nobody in particular.
        say: is told, once, that requests have to wait.
        sent: how many requests so far.
    """

    base_url: str
    token: str | None
    say: Callable[[str], None] = lambda _line: None
    sent: int = 0
    _has_waited: bool = field(default=False, init=False)
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)

    def send(self, request: Request) -> Answer:
        """Send a request; wait and repeat it when the gateway asks for that.

        Raises:
            LimitsReached: it asks for too much of that.
            OSError, http.client.HTTPException: there is no answer.
        """
        for _ in range(_TRIES):
            status, headers, body, seconds = self._send(request)
            if status != _TOO_MANY_REQUESTS:
                return Answer(status=status, headers=str(headers), body=body, seconds=seconds)
            self._wait(_seconds(headers.get("retry-after")))
        raise LimitsReached(f"The gateway limits a user too much (429). {_ADVICE}")

    def _wait(self, seconds: float) -> None:
        if not self._has_waited:
            self._has_waited = True
            self.say(f"a user's limits are reached: requests wait from now on. {_ADVICE}")
        time.sleep(min(seconds, _LONGEST_WAIT_SECONDS))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, request: Request) -> tuple[int, http.client.HTTPMessage, bytes, float]:
        self.sent += 1
        try:
            return self._exchange(request)
        except (ConnectionError, http.client.BadStatusLine):
            self.close()  # the server had closed the idle connection
            return self._exchange(request)

    def _exchange(self, request: Request) -> tuple[int, http.client.HTTPMessage, bytes, float]:
        connection = self._opened()
        content, content_type = _encode(request.body)
        started = time.perf_counter()
        try:
            connection.putrequest(request.method, request.target, skip_accept_encoding=True)
            if self.token is not None:
                connection.putheader("authorization", f"Bearer {self.token}")
            if content is not None:
                connection.putheader("content-type", content_type)
                connection.putheader("content-length", str(len(content)))
            for name, value in request.headers:
                connection.putheader(name, value)
            connection.endheaders(content)
            response = connection.getresponse()
            body = self._stream(response) if _is_stream(response) else response.read()
        except BaseException:
            self.close()
            raise
        return response.status, response.headers, body, time.perf_counter() - started

    def _stream(self, response: http.client.HTTPResponse) -> bytes:
        """Return what a stream says until it falls silent: some wait for news for ever."""
        pieces: list[bytes] = []
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.settimeout(_SILENCE_SECONDS)
        try:
            while piece := response.read1():
                pieces.append(piece)
        except TimeoutError:
            pass
        self.close()
        return b"".join(pieces)

    def _opened(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self.base_url)
            secure = parts.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
        return self._connection


def form(filename: str, content: str) -> bytes:
    """Return a multipart body with one text file."""
    return (
        f"--{BOUNDARY}\r\n"
        f'content-disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"content-type: text/plain\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n"
    ).encode()


def _is_stream(response: http.client.HTTPResponse) -> bool:
    return response.headers.get_content_type() == "text/event-stream"


def _encode(body: Any) -> tuple[bytes | None, str]:
    if isinstance(body, bytes):
        return body, f"multipart/form-data; boundary={BOUNDARY}"
    return (None, "") if body is None else (orjson.dumps(body), "application/json")


def _seconds(value: str | None) -> float:
    return float(value) if value and value.isdigit() else 1.0
