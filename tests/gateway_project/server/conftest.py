"""The server of production in a process of its own, on the tests' database and stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from django.db import connection

from gateway_project.sandbox.store import free_port
from tests.serving import start_gateway, wait_until_it_answers

_STOP_SECONDS = 30


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Tell it to stop, as service managers do."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(_STOP_SECONDS)

    def workers(self) -> list[psutil.Process]:
        return [one for one in psutil.Process(self.process.pid).children() if _is_worker(one)]

    def takes_connections(self) -> bool:
        try:
            httpx.get(f"{self.url}/api/v1/system/health")
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            return True
        return True


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return False


Serve = Callable[..., Served]


@pytest.fixture
def serve(gateway: str, tmp_path: Path) -> Iterator[Serve]:
    """Start ``manage.py serve`` with settings of the test's choice."""
    del gateway
    started: list[Served] = []

    def start(*options: str, **settings: str) -> Served:
        served = _start(tmp_path, options, settings)
        started.append(served)
        wait_until_it_answers(served.port, served.process, served.log)
        return served

    yield start
    for served in started:
        _end(served.process)


def _start(folder: Path, options: tuple[str, ...], settings: dict[str, str]) -> Served:
    database = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DATABASE_URL": database._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "AUDIT_SPOOL_DIR": str(folder / "spool"),
        "SHUTDOWN_DRAIN_SECONDS": "10",
        **settings,
    }
    port, log = free_port(), folder / "serve.log"
    return Served(start_gateway(port, *options, settings=environment, log=log), port, log)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()
    process.wait()
