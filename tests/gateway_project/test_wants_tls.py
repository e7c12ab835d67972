"""``SECURE_SSL_REDIRECT``: pages are redirected, requests of programs refused, on both planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.test import RequestFactory
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway_core.audit import trail
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship
from gateway_project.tls import over_tls
from tests.conftest import RunningSupabase
from tests.gateway_project.asgi import ask

_SAFE = {"X-Forwarded-Proto": "https"}
_ORIGIN = "https://app.example.com"
_NOBODYS = f"/api/v1/agents/{uuid4()}/proxy/chat/completions"


@pytest.fixture(autouse=True)
def _tls_is_asked_for(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_ORIGINS = (_ORIGIN,)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/api/v1/me"), ("DELETE", "/api/v1/me"), ("POST", "/api/v1/agents")),
        *(("POST", "/api/v1/llm/chat/completions"), ("GET", "/api/v1/llm/v1/models")),
        *(("POST", "/api/v1/letta/agents/"), ("GET", "/api/v1/letta/v1/agents")),
        *(("GET", "/api/v1/system/upstreams"), ("POST", "/admin/login/"), ("POST", "/metrics/x")),
        *(("GET", "/api/v1/agents"), ("GET", "/api/v1/agents/1/proxies"), ("GET", "/api/schema")),
    ],
)
def test_serves_nothing_in_plain_that_may_carry_a_secret(
    client_for: Callable[[str], httpx.Client], method: str, path: str
) -> None:
    alice = client_for("alice@example.com")

    answer = alice.request(method, path, headers={"x-request-id": "plain-one"})

    assert (answer.status_code, answer.json()["code"]) == (400, "caller_tls_missing")
    assert "replace the token or API key" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"] == "plain-one"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/llm/models", "/api/v1/letta/agents"])
def test_serves_what_the_load_balancer_has_taken_by_tls(
    client_for: Callable[[str], httpx.Client], path: str
) -> None:
    alice = client_for("alice@example.com")

    assert alice.get(path, headers=_SAFE).status_code == 200
    assert alice.get(path, headers={"X-Forwarded-Proto": "http"}).status_code == 400


@pytest.mark.parametrize("said", ["https", "https, http", "http, https", "wss"])
async def test_believes_nobody_whom_the_server_does_not(said: str) -> None:
    """Of others than ``TRUSTED_PROXIES`` the server hands the header on, and heeds it not."""
    headers = {"x-forwarded-proto": said}

    answer = await ask(
        over_tls(_never), "/api/v1/me", headers=headers, scheme="http", query_string=b""
    )

    assert answer.status == 400
    assert not RequestFactory().get("/", headers={"X-Forwarded-Proto": said}).is_secure()


async def _never(*_: object) -> None:
    raise AssertionError


@pytest.mark.parametrize("token", ["good", "bad", ""])
@pytest.mark.parametrize("path", ["/api/v1/chat", "/metrics"])
async def test_closes_a_websocket_in_plain_before_it_looks_at_the_token(
    gateway: str, supabase: RunningSupabase, token: str, path: str
) -> None:
    given = supabase.token("alice@example.com") if token == "good" else token

    assert await _closed(gateway + path, given) == (4400, "caller_tls_missing")


async def test_takes_a_websocket_that_the_load_balancer_has_taken_by_tls(
    gateway: str, supabase: RunningSupabase
) -> None:
    token = supabase.token("alice@example.com")

    assert await _closed(f"{gateway}/x", token, **_SAFE) == (4404, "caller_not_found")


async def _closed(url: str, token: str, **headers: str) -> tuple[int | None, str | None]:
    offered = [Subprotocol("gateway.v1"), *([Subprotocol(f"bearer.{token}")] if token else [])]
    where = url.replace("http", "ws", 1)
    async with connect(where, subprotocols=offered, additional_headers=headers) as connection:
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        return connection.close_code, connection.close_reason


@pytest.mark.parametrize("path", ["/admin/login/", "/docs", "/nothing"])
def test_sends_people_to_the_same_page_by_tls(gateway: str, path: str) -> None:
    answer = httpx.get(f"{gateway}{path}?a=b")

    there = f"{gateway.replace('http:', 'https:')}{path}?a=b"
    assert (answer.status_code, answer.headers["location"]) == (301, there)


def test_sends_nobody_to_where_only_they_say_that_it_is(gateway: str) -> None:
    answer = httpx.get(f"{gateway}/docs", headers={"Host": "evil.example.com"})

    assert (answer.status_code, answer.json()["code"]) == (400, "caller_tls_missing")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/api/v1/system/health", 200), ("GET", "/api/v1/system/ready/", 200)),
        *(("GET", "/metrics", 200), ("POST", _NOBODYS, 401)),
    ],
)
def test_serves_in_plain_what_comes_from_inside(
    gateway: str, method: str, path: str, status: int
) -> None:
    assert httpx.request(method, f"{gateway}{path}").status_code == status


def test_tells_pages_of_other_origins_why(gateway: str) -> None:
    answer = httpx.post(f"{gateway}/api/v1/llm/chat/completions", headers={"Origin": _ORIGIN})

    assert answer.json()["code"] == "caller_tls_missing"
    assert answer.headers["access-control-allow-origin"] == _ORIGIN


def test_keeps_no_event_of_it(client_for: Callable[[str], httpx.Client]) -> None:
    request_id = f"test-{uuid4().hex}"
    client_for("alice@example.com").post("/api/v1/agents", headers={"x-request-id": request_id})
    spool = trail.start()
    spool.hand_over()
    ship(spool)

    assert not AuditEvent.objects.filter(request_id=request_id).exists()
