from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from gateway_project.sandbox.postgres import Postgres
from gateway_project.sandbox.processes import StartFailed, command_line
from gateway_project.sandbox.store import Store
from tests.timing import wait_until

ServerOn = Callable[[Path], Postgres]

_START_IN_ANOTHER_PROCESS = """
import pathlib, sys, time
from gateway_project.sandbox.postgres import Postgres
from gateway_project.sandbox.store import Store
data = pathlib.Path(sys.argv[1])
Postgres(data, Store(data), bound=sys.argv[2] == "bound", hasty=True).start()
print("started", flush=True)
time.sleep(60)
"""


@pytest.fixture
def server_on() -> Iterator[ServerOn]:
    servers = []

    def server_on(data: Path) -> Postgres:
        (data / "logs").mkdir(parents=True, exist_ok=True)
        servers.append(Postgres(data, Store(data), bound=True, hasty=True))
        return servers[-1]

    yield server_on
    for server in servers:
        server.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    return data


def _pid(data: Path) -> int:
    return int((data / "postgres" / "postmaster.pid").read_text().split()[0])


def _start_in_another_process(data: Path, binding: str) -> subprocess.Popen[bytes]:
    (data / "logs").mkdir()
    command = [sys.executable, "-c", _START_IN_ANOTHER_PROCESS, str(data), binding]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout
    assert child.stdout.readline() == b"started\n"
    return child


def _kill(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.communicate()


def test_keeps_data_and_address_when_started_again(data: Path, server_on: ServerOn) -> None:
    server = server_on(data)
    server.start()
    url = server.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    server.stop()
    again = server_on(data)
    again.start()

    with psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (42,)
    assert again.url == url


def test_starts_when_the_path_is_too_long_for_a_unix_socket_and_closed_to_others(
    tmp_path: Path, server_on: ServerOn
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = closed / ("x" * 120) / ".local"
    server = server_on(data)
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_listens_on_loopback_only_and_wants_the_password(data: Path, server_on: ServerOn) -> None:
    server = server_on(data)
    server.start()
    with psycopg.connect(server.url) as connection:
        listens = connection.execute("SHOW listen_addresses").fetchone()
    assert listens == ("127.0.0.1",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.replace("postgres:", "postgres:wrong"))


def test_starts_when_a_crash_left_a_pid_file_that_now_names_another_process(
    data: Path, server_on: ServerOn
) -> None:
    server = server_on(data)
    server.start()
    left_behind = (data / "postgres" / "postmaster.pid").read_text()
    server.stop()
    stale = left_behind.replace(left_behind.split()[0], str(os.getpid()), 1)
    (data / "postgres" / "postmaster.pid").write_text(stale)
    again = server_on(data)
    again.start()

    assert again.exit_code() is None
    assert _pid(data) != os.getpid()


def test_ends_with_its_parent_when_that_is_killed(data: Path) -> None:
    child = _start_in_another_process(data, "bound")
    pid = _pid(data)
    _kill(child)
    wait_until(lambda: not command_line(pid))


def test_finds_the_server_that_a_killed_parent_left_behind(data: Path, server_on: ServerOn) -> None:
    child = _start_in_another_process(data, "unbound")
    pid = _pid(data)
    _kill(child)
    server = server_on(data)
    server.start()

    assert _pid(data) == pid
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()
    wait_until(lambda: not command_line(pid))


def test_starts_when_the_server_was_killed(data: Path, server_on: ServerOn) -> None:
    server = server_on(data)
    server.start()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    os.kill(_pid(data), signal.SIGKILL)
    wait_until(lambda: server.exit_code() is not None)
    again = server_on(data)
    again.start()

    with psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (42,)


def test_tells_why_when_it_does_not_start(data: Path, server_on: ServerOn) -> None:
    server = server_on(data)
    server.start()
    server.stop()
    (data / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(StartFailed, match="no_such_setting"):
        server_on(data).start()
