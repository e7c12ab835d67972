"""A rule that is saved in one process, in force in another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from accounts.models import User
from letta_proxy.rules import services
from tests.conftest import RunningSupabase
from tests.letta_proxy.conftest import Caller
from tests.letta_proxy.rules.conftest import MakeRule
from tests.second_gateway import second_gateway
from tests.timing import wait_until


@pytest.fixture
def other_process(gateway: str, supabase: RunningSupabase, tmp_path: Path) -> Iterator[Caller]:
    """Alice, at a second gateway."""
    del gateway
    headers = {"authorization": f"Bearer {supabase.token('alice@example.com')}"}
    with second_gateway(tmp_path) as url, httpx.Client(base_url=url, headers=headers) as client:
        yield Caller(client)


def seconds_until(caller: Caller, path: str, status: int) -> float:
    return wait_until(lambda: caller("GET", path).status_code == status)


def test_is_in_force_in_another_process_within_a_second_and_out_of_it(
    other_process: Caller, make_rule: MakeRule, root: User
) -> None:
    assert other_process("GET", "/blocks/").status_code == 200

    rule = make_rule("GET", "/blocks")
    assert seconds_until(other_process, "/blocks/", 403) < 1

    services.delete_rule(rule=rule, by=root)
    assert seconds_until(other_process, "/blocks/", 200) < 1
