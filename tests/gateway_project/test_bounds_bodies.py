from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

_PIECE = b" " * 65_536


@pytest.fixture
def small(settings: Any) -> int:
    for name in ("MAX_JSON_BYTES", "MAX_TEMPLATE_BYTES", "MAX_BUNDLE_BYTES"):
        setattr(settings, name, 1_000)
    settings.MAX_AGENT_FILE_BYTES = 2_000_000
    return 2_000_000


def pieces(sent: list[int], count: int) -> Iterator[bytes]:
    for _ in range(count):
        sent.append(len(_PIECE))
        yield _PIECE


@pytest.mark.parametrize("path", ["/api/v1/agents", "/api/v1/none", "/admin/login/"])
def test_takes_no_more_of_a_strangers_body_than_any_view_would(
    gateway: str, small: int, path: str
) -> None:
    sent: list[int] = []

    with httpx.Client(base_url=gateway) as stranger:
        try:
            answer = stranger.post(path, content=pieces(sent, 2_000))
        except httpx.TransportError:  # the answer came before all was sent
            answer = None

    assert small < sum(sent) < 100_000_000
    if answer is not None:
        assert (answer.status_code, answer.json()["code"]) == (413, "caller_body_too_large")


def test_says_so_to_whoever_has_sent_it_all(
    client_for: Callable[[str], httpx.Client], small: int
) -> None:
    alice = client_for("alice@example.com")

    answer = alice.post("/api/v1/agents/import", content=b" " * (small + 1))

    assert (answer.status_code, answer.json()["code"]) == (413, "caller_body_too_large")
    assert "2000000 bytes" in answer.json()["detail"]
    assert answer.headers["x-request-id"]
    assert alice.get("/api/v1/me").status_code == 200
    taken = alice.post("/api/v1/agents/import", content=b" " * small)
    assert taken.json()["code"] == "caller_request_malformed"
