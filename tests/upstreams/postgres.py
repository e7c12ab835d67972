"""One PostgreSQL 16 with pgvector for both upstreams, on loopback and without durability."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from environments import POSTGRES_BIN
from places import HOME, POSTGRES_PORT
from processes import Service

_FOLDER = HOME / "postgres"
_DATA = _FOLDER / "data"
_CREATED = _FOLDER / "created"  # written after initdb, which may be cut off
_USER = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "port": str(POSTGRES_PORT),
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
}


def create_cluster() -> None:
    if _CREATED.exists():
        return
    shutil.rmtree(_DATA, ignore_errors=True)
    _DATA.mkdir(parents=True)
    _DATA.chmod(0o700)
    if _USER is not None:
        os.chown(_DATA, _USER, -1)
    _run("initdb", "-D", _DATA, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
    _CREATED.touch()


def service() -> Service:
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    return Service(
        name="postgres",
        port=POSTGRES_PORT,
        port_variable="UPSTREAMS_POSTGRES_PORT",
        command=[POSTGRES_BIN / "postgres", "-D", _DATA, *settings],
        folder=_DATA,
        user=_USER,
        probe=lambda: subprocess.run(_client("pg_isready", "-q"), check=False).returncode == 0,
        stop_signal=signal.SIGINT,  # fast: SIGTERM would wait for the clients to leave
    )


def query(sql: str, *, database: str = "postgres") -> str:
    return _run(
        *_client("psql", "-d", database, "-AtX", "-v", "ON_ERROR_STOP=1", "-c", sql)
    ).strip()


def run_file(file: Path, *, database: str) -> None:
    """Run a script in one transaction: a cut leaves nothing half done."""
    _run(*_client("psql", "-d", database, "-qX", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(file)))


def create_database(name: str) -> None:
    if query(f"select 1 from pg_database where datname = '{name}'") != "1":
        query(f"create database {name}")


def _client(program: str, *words: str) -> list[str]:
    return [
        str(POSTGRES_BIN / program),
        "-h",
        "127.0.0.1",
        "-p",
        str(POSTGRES_PORT),
        "-U",
        "postgres",
        *words,
    ]


def _run(program: str, *words: str | Path) -> str:
    """Run one of PostgreSQL's programs as the user that the server runs as."""
    done = subprocess.run(
        [str(POSTGRES_BIN / program), *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=_USER,
        group=_USER,
        extra_groups=None if _USER is None else [],
    )
    if done.returncode:
        raise SystemExit(
            f"{Path(program).name} failed: {done.stderr}\nIs {HOME} readable for the user that PostgreSQL runs as?"
        )
    return done.stdout
