"""A rule that is saved in one process, in force in another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection

from accounts.models import User
from gateway_project.sandbox.store import free_port
from letta_proxy.rules import services
from tests.conftest import RunningSupabase
from tests.letta_proxy.conftest import Caller
from tests.letta_proxy.rules.conftest import MakeRule

_CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def other_process(gateway: str, supabase: RunningSupabase, tmp_path: Path) -> Iterator[Caller]:
    """Alice, at a second gateway in a process of its own, on the same database and Valkey."""
    del gateway
    url = f"http://127.0.0.1:{free_port()}"
    database = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DATABASE_URL": database._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "AUDIT_SPOOL_DIR": str(tmp_path),
    }
    address = ["--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "gateway_project.asgi:application", *address],
        cwd=_CHECKOUT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(url, process)
        headers = {"authorization": f"Bearer {supabase.token('alice@example.com')}"}
        with httpx.Client(base_url=url, headers=headers) as client:
            yield Caller(client)
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


def seconds_until(caller: Caller, path: str, status: int) -> float:
    started = time.monotonic()
    while caller("GET", path).status_code != status:
        assert time.monotonic() < started + 10
    return time.monotonic() - started


def test_is_in_force_in_another_process_within_a_second_and_out_of_it(
    other_process: Caller, make_rule: MakeRule, root: User
) -> None:
    assert other_process("GET", "/blocks/").status_code == 200

    rule = make_rule("GET", "/blocks")
    assert seconds_until(other_process, "/blocks/", 403) < 1

    services.delete_rule(rule=rule, by=root)
    assert seconds_until(other_process, "/blocks/", 200) < 1
