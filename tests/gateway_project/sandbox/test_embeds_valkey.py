from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from gateway_project.sandbox.store import Store
from gateway_project.sandbox.valkey import Valkey
from tests.timing import wait_until

ServerOn = Callable[[Path], Valkey]


@pytest.fixture
def server_on() -> Iterator[ServerOn]:
    servers = []

    def server_on(data: Path) -> Valkey:
        (data / "logs").mkdir(parents=True, exist_ok=True)
        servers.append(Valkey(data, Store(data), bound=True))
        return servers[-1]

    yield server_on
    for server in servers:
        server.stop()


def test_keeps_data_and_address_when_started_again(tmp_path: Path, server_on: ServerOn) -> None:
    server = server_on(tmp_path)
    server.start()
    url = server.url
    with redis.Redis.from_url(url) as client:
        client.set("kept", "42")
    server.stop()
    again = server_on(tmp_path)
    again.start()

    with redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"42"
    assert again.url == url


def test_listens_on_loopback_only_and_wants_the_password(
    tmp_path: Path, server_on: ServerOn
) -> None:
    server = server_on(tmp_path)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
    with (
        redis.Redis.from_url(server.url.replace("redis://:", "redis://:wrong")) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_finds_the_server_that_runs_already(tmp_path: Path, server_on: ServerOn) -> None:
    first = server_on(tmp_path)
    first.start()
    second = server_on(tmp_path)
    second.start()
    assert second.url == first.url
    second.stop()
    wait_until(lambda: first.exit_code() == 0)
