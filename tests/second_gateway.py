"""The gateway once more, in a process of its own, on the same database and Valkey."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from gateway_project.sandbox.store import free_port
from tests.serving import start_gateway, wait_until_it_answers


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
    port = free_port()
    database = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DATABASE_URL": database._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "AUDIT_SPOOL_DIR": str(spool),
        **(settings or {}),
    }
    log = log or spool.with_name(f"{spool.name}-gateway.log")
    process = start_gateway(port, "--workers", str(workers), settings=environment, log=log)
    try:
        wait_until_it_answers(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
