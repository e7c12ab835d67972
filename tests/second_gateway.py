"""The gateway once more, in a process of its own, on the same database and Valkey."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection

from gateway_project.sandbox.store import free_port

_CHECKOUT = Path(__file__).resolve().parents[1]


@contextmanager
def second_gateway(
    spool: Path,
    *,
    workers: int = 1,
    log: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Serve, and yield the address. Use it with the ``gateway`` fixture, for the database.

    Args:
        spool: an empty directory for its audit events.
        workers: how many processes share the address.
        log: where to keep what they log.
        settings: that are not as in this process.
    """
    url = f"http://127.0.0.1:{free_port()}"
    database = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DATABASE_URL": database._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "AUDIT_SPOOL_DIR": str(spool),
        **(settings or {}),
    }
    address = ["--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
    address += ["--workers", str(workers)]
    with (log or Path(os.devnull)).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "gateway_project.asgi:application", *address],
            cwd=_CHECKOUT,
            env=environment,
            stdout=output,
            stderr=output if log else None,
        )
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/api/v1/system/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the second gateway did not start")
