"""What the sandbox remembers between runs: secrets and ports, in one file for its owner only."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Store:
    """A small JSON file, ``sandbox.json`` in the data directory, mode 600."""

    def __init__(self, data: Path) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = data / "sandbox.json"

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
        """Return a secret, made at its first use."""
        with self._values() as values:
            secret: str = values.setdefault(name, make())
            return secret

    def port(self, name: str) -> int:
        """Return the port that ``name`` had last time, or another where that one is taken."""
        with self._values() as values:
            port: int = values.get(f"{name}_port", 0)
            if not is_port_free(port):
                port = 0
            values[f"{name}_port"] = port = port or free_port()
            return port

    def address(self, name: str) -> str:
        """Return the loopback address that ``name`` had last time, or will have."""
        with self._values() as values:
            port = values.setdefault(f"{name}_port", free_port())
            return f"http://127.0.0.1:{port}"

    @contextmanager
    def _values(self) -> Iterator[dict[str, Any]]:
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = file.read()
            values = json.loads(before or "{}")
            yield values
            after = json.dumps(values, indent=2)
            if after != before:
                file.seek(0)
                file.write(after)
                file.truncate()


def is_port_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now; 0 always is."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
        return port
