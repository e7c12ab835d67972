from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest

from gateway_core import valkey
from gateway_core.http import UpstreamClient
from gateway_core.proxy.exchange import Route
from gateway_core.proxy.operations import Catalogue
from gateway_core.proxy.pipeline import proxy
from gateway_core.upstream import Timeouts, with_limits
from tests.connections import tcp_server
from tests.gateway_core.proxy import loopback
from tests.gateway_core.proxy.loopback import (
    OPERATIONS,
    Gateway,
    Knobs,
    Somebody,
    Upstream,
    authorize,
    identify,
    mend,
    quota,
    refuse,
    serving,
    translate,
)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    state = Upstream()
    async with tcp_server(state.serve) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state


@pytest.fixture
def knobs() -> Knobs:
    return Knobs()


@pytest.fixture
async def gateway(upstream: Upstream, knobs: Knobs) -> AsyncIterator[Gateway]:
    pool = UpstreamClient(
        name=f"test-{uuid4()}", base_url=upstream.url, connect_timeout=1, max_connections=100
    )
    limited = with_limits(
        pool,
        timeouts=lambda: Timeouts(first_byte=knobs.first_byte, idle=knobs.idle, total=knobs.total),
        slots=lambda: knobs.max_concurrent,
    )
    knobs.hooks["limited"] = limited
    route = Route(
        name="test",
        scope="test",
        prefixes=("/api/v1/test/v1", "/api/v1/test"),
        upstream=lambda _operation: knobs.hooks.get("upstream", limited),
        catalogue=Catalogue(OPERATIONS, refuse=refuse),
        identify=identify,
        quota=lambda exchange: knobs.hooks.get("quota", quota)(exchange),
        authorize=lambda exchange: knobs.hooks.get("authorize", authorize)(exchange),
        translate=translate,
        mend=lambda exchange: knobs.hooks.get("mend", mend)(exchange),
        reshape=lambda exchange: knobs.hooks.get("reshape"),
        observe=lambda exchange: knobs.hooks.get("observe"),
    )
    async with (
        serving(proxy(route)) as url,
        httpx.AsyncClient(
            base_url=url, headers={"authorization": "Bearer good"}, timeout=30
        ) as client,
    ):
        yield Gateway(url, client)
    await pool.close()
    await valkey.close()


@pytest.fixture
def many_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``callers.as_user`` name twenty different ones."""
    somebody = {f"u{number}".encode(): Somebody(UUID(int=number)) for number in range(100, 120)}
    monkeypatch.setattr(loopback, "TOKENS", {**loopback.TOKENS, **somebody})
