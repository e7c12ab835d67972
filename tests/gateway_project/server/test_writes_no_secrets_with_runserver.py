"""Daphne writes a line for each request, with its path; the development server is Daphne."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from django.db import connection

from gateway_project.sandbox.store import free_port
from llm_proxy.agent_proxy.secrets import Claim, secret_of
from tests.serving import CHECKOUT, wait_until_it_answers


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "runserver.log"


@pytest.fixture
def development_server(gateway: str, tmp_path: Path, log: Path) -> Iterator[str]:
    del gateway  # for its database
    port = free_port()
    database = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DATABASE_URL": database._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "AUDIT_SPOOL_DIR": str(tmp_path / "spool"),
        "LOG_LEVEL": "INFO",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_it_answers(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_writes_one_line_for_each_request_and_no_secret(development_server: str, log: Path) -> None:
    user_id = uuid4()
    secret = secret_of(Claim(user_id, 0))
    base = f"{development_server}/api/v1/agents/{user_id}/proxy/{secret}"
    statuses = [httpx.get(f"{base}/{rest}").status_code for rest in ("models", "nothing")]
    statuses.append(httpx.get(f"{development_server}/nowhere?key={secret}").status_code)
    text = log.read_text(encoding="utf-8")

    assert statuses == [401, 401, 404]
    assert secret not in text
    assert [text.count(path) for path in ("/proxy/", "/nowhere")] == [2, 1]
