"""How much may be had without a token from one address, through the real gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from pytest_django import Settings

from gateway_core.rates import Quota
from gateway_project import throttling

INFO = "/api/v1/system/info"


@pytest.fixture
def stranger(
    gateway: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    """Somebody without a token, where three requests may come in one go from an address."""
    settings.ENABLE_RATE_LIMITING = True
    monkeypatch.setattr(throttling, "_STRANGERS", Quota(name="strangers", per_hour=60, burst=3))
    with httpx.Client(base_url=gateway) as client:
        yield client


def statuses(client: httpx.Client, path: str, times: int = 4) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


@pytest.mark.parametrize(
    ("path", "usual"),
    [
        (INFO, 200),
        ("/api/schema", 200),
        ("/docs", 200),
        ("/redoc", 200),
        ("/metrics", 200),
        ("/admin/login/", 200),
        ("/", 302),
        ("/nowhere", 404),
        ("/api/v1/nowhere", 404),
        ("/api/v1/erasures/3f333df6-90a4-4fda-8dd3-9485d27cee36", 404),
        ("/static/nothing.css", 404),
    ],
)
def test_lets_so_many_pass_from_an_address_and_says_how_long_to_wait(
    stranger: httpx.Client, path: str, usual: int
) -> None:
    assert statuses(stranger, path, 3) == [usual] * 3
    refused = stranger.get(path)

    assert (refused.status_code, refused.json()["code"]) == (429, "quota_rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 60


@pytest.mark.parametrize("path", ["/api/v1/system/health", "/api/v1/system/ready"])
def test_limits_no_load_balancer(stranger: httpx.Client, path: str) -> None:
    assert 429 not in statuses(stranger, path, 8)


def test_reads_no_body_of_what_it_refuses(stranger: httpx.Client) -> None:
    statuses(stranger, "/nowhere")

    assert stranger.post("/nowhere", content=b"x" * 1000).status_code == 429


def test_counts_each_kind_alone_and_the_admin_as_one(stranger: httpx.Client) -> None:
    statuses(stranger, "/docs")

    assert statuses(stranger, "/metrics", 1) == [200]
    assert statuses(stranger, "/nowhere", 3) == [404] * 3
    assert statuses(stranger, "/static/nothing.css", 1) == [404]
    assert statuses(stranger, "/admin/login/", 3) == [200] * 3
    assert statuses(stranger, "/admin/accounts/user/", 1) == [429]


def test_counts_who_has_neither_token_nor_session_where_both_are_taken(
    stranger: httpx.Client,
) -> None:
    assert statuses(stranger, "/api/v1/system/upstreams") == [401, 401, 401, 429]


@pytest.mark.usefixtures("stranger")
def test_counts_nobody_with_a_token_where_one_is_taken(
    client_for: Callable[[str], httpx.Client],
) -> None:
    alice = client_for("alice@example.com")

    assert set(statuses(alice, "/api/v1/me", 5)) == {200}


def test_counts_nobody_where_limits_are_off(stranger: httpx.Client, settings: Settings) -> None:
    settings.ENABLE_RATE_LIMITING = False

    assert statuses(stranger, "/docs", 5) == [200] * 5
