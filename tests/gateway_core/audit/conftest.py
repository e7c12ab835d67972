from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection
from psycopg.sql import SQL, Identifier
from pytest_django import Settings

from gateway_core.audit.spool import Spool
from gateway_core.context import RequestRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from django.db.backends.postgresql.base import DatabaseWrapper

_PROJECT = Path(__file__).resolve().parents[3]


class MakeRecord(Protocol):
    def __call__(self, **fields: Any) -> RequestRecord: ...


class RunProgram(Protocol):
    def __call__(
        self, name: str, *arguments: object, **environment: str
    ) -> subprocess.Popen[bytes]: ...


@pytest.fixture
def spool_directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture(autouse=True)
def _no_heads_of_other_tests(settings: Settings, spool_directory: Path) -> None:
    settings.AUDIT_SPOOL_DIR = spool_directory


@pytest.fixture
def spool(spool_directory: Path) -> Spool:
    return Spool(spool_directory)


@pytest.fixture
def make_record() -> MakeRecord:
    def make(**fields: Any) -> RequestRecord:
        started = time.monotonic()
        values: dict[str, Any] = {
            "request_id": "req_0123456789",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "method": "POST",
            "path": "/api/v1/llm/chat/completions",
            "client_ip": "203.0.113.7",
            "started": started,
            "route": "llm",
            "operation": "chat_completions",
            "status": 200,
            "first_byte": started + 0.25,
            "ended": started + 1.5,
        }
        return RequestRecord(**values | fields)

    return make


@pytest.fixture
def run_program() -> Iterator[RunProgram]:
    """Start one of ``programs``; whatever still runs when the test is over is killed."""
    children: list[subprocess.Popen[bytes]] = []

    def run(name: str, *arguments: object, **environment: str) -> subprocess.Popen[bytes]:
        module = f"tests.gateway_core.audit.programs.{name}"
        child = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=_PROJECT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """Where the test database is, for programs beside this one."""
    del transactional_db
    at = connection.settings_dict
    login = f"{at['USER']}:{quote(at['PASSWORD'], safe='')}"
    return f"postgresql://{login}@{at['HOST']}:{at['PORT']}/{at['NAME']}"


@pytest.fixture
def database_down(database_url: str) -> Callable[[], AbstractContextManager[None]]:
    """Have the server refuse everybody, after it has thrown out those who are in."""
    base, _, name = database_url.rpartition("/")
    switch = SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")

    @contextmanager
    def down() -> Iterator[None]:
        connection.close()
        with psycopg.connect(f"{base}/postgres", autocommit=True) as keeper:
            keeper.execute(switch.format(Identifier(name), SQL("false")))
            try:
                keeper.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [name],
                )
                yield
            finally:
                keeper.execute(switch.format(Identifier(name), SQL("true")))
                # It still has connections that were cut, and would hand them out.
                cast("DatabaseWrapper", connection).close_pool()

    return down
