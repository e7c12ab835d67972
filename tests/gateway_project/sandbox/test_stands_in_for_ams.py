from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gateway_project.sandbox.ams import create_app
from gateway_project.sandbox.serving import LoopbackServer


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with LoopbackServer() as server:
        yield server.start(create_app(api_key="key")).url


def test_says_that_it_lives(url: str) -> None:
    assert httpx.get(f"{url}/health").json()["status"] == "ok"


@pytest.mark.parametrize(("key", "status"), [("key", 200), ("wrong", 401), ("", 401)])
def test_tells_its_version_to_who_has_the_key(url: str, key: str, status: int) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert httpx.get(f"{url}/version", headers=headers).status_code == status


def test_pretends_nothing(url: str) -> None:
    assert httpx.post(f"{url}/agents/create").status_code == 501
