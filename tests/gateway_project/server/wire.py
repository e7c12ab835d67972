"""A connection on which any bytes may be sent, and answers that are told apart by their ids."""

from __future__ import annotations

import http.client
import socket
from typing import Any, Self

_SECONDS = 10


class Wire:
    """A raw connection to a server on loopback; a context manager."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send, as much as the server lets in."""
        try:
            self.socket.sendall(data)
        except OSError:  # it has closed the connection
            return

    def answer(self) -> tuple[int, dict[str, str], bytes] | None:
        """Return status, headers and body of the next answer, None when none comes any more."""
        response = http.client.HTTPResponse(_Shared(self._file))  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        return response.status, {name.lower(): text for name, text in response.getheaders()}, body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()


class _Shared:
    """Keeps what is read ahead for the next answer."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, _mode: str) -> Any:
        return self

    def readline(self, limit: int = -1) -> Any:
        return self._file.readline(limit)

    def read(self, amount: int = -1) -> Any:
        return self._file.read(amount)

    def readinto(self, buffer: Any) -> Any:
        return self._file.readinto(buffer)

    def flush(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """The connection goes on."""
