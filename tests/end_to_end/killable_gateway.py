"""A gateway process that a test may kill and start again over what it has left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg

from tests.end_to_end.gateway_process import no_settings
from tests.serving import CHECKOUT, start_gateway, wait_until_it_answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(slots=True)
class KillableGateway:
    """One process with a database and a spool of its own.

    Its port is kept for it, bound and without a listener, from the beginning to ``close``: nobody
    else gets it while the process starts, or is between two lives.

    Attributes:
        settings: what the process gets.
        url: without a path; stays the same.
        is_up: between its start and its end.
    """

    settings: dict[str, str]
    log: Path
    url: str = field(init=False)
    is_up: threading.Event = field(default_factory=threading.Event)
    _keeper: socket.socket = field(init=False)
    _port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self._port = self._keeper.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._process = start_gateway(self._port, settings=self.settings, log=self.log)
        wait_until_it_answers(self._port, self._process, self.log)
        self.is_up.set()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.is_up.clear()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._keeper.close()

    def manage(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a management command beside it."""
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            check=False,
            cwd=CHECKOUT,
            env=self.settings,
            capture_output=True,
            text=True,
        )

    def execute(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Ask its database, or change it."""
        with psycopg.connect(self.settings["DATABASE_URL"]) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []


@contextmanager
def killable_gateway(data: Path, settings: Mapping[str, str]) -> Iterator[KillableGateway]:
    """Prepare a gateway over a new database, and start it."""
    server = urlsplit(os.environ["DATABASE_URL"])
    name = f"gateway_{uuid4().hex[:12]}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as keeper:
        keeper.execute(f"CREATE DATABASE {name}")
        gateway = KillableGateway(
            settings={
                **no_settings(),
                "PATH": os.environ["PATH"],
                "HOME": str(data),
                "DATABASE_URL": urlunsplit(server._replace(path=f"/{name}")),
                "REDIS_URL": os.environ["REDIS_URL"],
                "DJANGO_SECRET_KEY": uuid4().hex * 2,
                "ENCRYPTION_KEYS": uuid4().hex * 2,
                "AGENT_SECRET_MASTER_KEY": uuid4().hex * 2,
                "AUDIT_SPOOL_DIR": str(data / "spool"),
                "SANDBOX_DIR": str(data / "sandbox"),
                **settings,
            },
            log=data / "gateway.log",
        )
        try:
            gateway.manage("migrate", "--verbosity", "0").check_returncode()
            gateway.start()
            yield gateway
        finally:
            gateway.close()
            keeper.execute(f"DROP DATABASE {name} WITH (FORCE)")
