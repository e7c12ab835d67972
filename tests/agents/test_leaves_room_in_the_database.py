"""Requests that wait for Letta or AMS keep no database connection from others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings

from tests.agents.conftest import Caller
from tests.conftest import Running
from tests.timing import wait_until

_POOL_SIZE = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
_HANGING = _POOL_SIZE + 5
_DELAY_SECONDS = 2.0
_HERE = "/agents/agent-[^/]*(/upgrade)?$"


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(_HANGING) as pool:
        yield pool


def under_way(upstream: Running) -> int:
    return sum(request["seconds"] is None for request in upstream.requests(_HERE))


def make_all_wait(caller: Caller, crowd: ThreadPoolExecutor, upstream: Running, path: str) -> None:
    """Have more requests than there are connections wait for an upstream, and make one more."""
    body = {"force": True}
    waiting = [crowd.submit(caller, "POST", path, json=body) for _ in range(_HANGING)]
    wait_until(lambda: under_way(upstream) == _HANGING)

    assert len(caller.get("/agents")["data"]) == 1

    assert under_way(upstream) == _HANGING
    upstream.mend()
    assert {one.result().status_code for one in waiting} == {200}


def test_more_requests_than_connections_may_wait_for_letta(
    alice: Caller, agent: dict[str, Any], letta: Running, crowd: ThreadPoolExecutor
) -> None:
    letta.fault(_HERE, method="GET", delay=_DELAY_SECONDS)
    make_all_wait(alice, crowd, letta, f"/agents/{agent['id']}/upgrade")


@pytest.mark.parametrize("driver", ["remote"], indirect=True)
def test_more_requests_than_connections_may_wait_for_a_remote_ams(
    alice: Caller, agent: dict[str, Any], ams: Running, crowd: ThreadPoolExecutor
) -> None:
    ams.fault(_HERE, delay=_DELAY_SECONDS)
    make_all_wait(alice, crowd, ams, f"/agents/{agent['id']}/upgrade")
