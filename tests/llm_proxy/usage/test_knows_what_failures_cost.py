from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway_core import context
from gateway_core.errors import GatewayError, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from gateway_core.proxy.exchange import Exchange
from llm_proxy.proxy import ROUTE
from llm_proxy.usage.calls import call_headers, note_cost_of_failure, request_id_of


async def _nothing(*_: Any) -> Any:
    raise AssertionError("not used")


@pytest.fixture
def exchange() -> Exchange:
    scope = {"headers": [(b"x-request-id", b"request-1")], "path": "/", "method": "POST"}
    exchange = Exchange(ROUTE, scope, _nothing, _nothing, context.begin(scope), [])
    exchange.principal = SimpleNamespace(api_key_id=None)
    return exchange


def cost_of(exchange: Exchange, error: type[GatewayError], status: int, **headers: str) -> Any:
    exchange.record.error_code = error.code
    exchange.upstream_status = status
    exchange.upstream_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    note_cost_of_failure(exchange)
    return exchange.record.facts.get("cost")


@pytest.mark.parametrize(
    ("error", "status", "headers", "cost"),
    [
        (UpstreamUnreachable, 0, {}, 0.0),
        (UpstreamTimeout, 0, {}, None),
        (UpstreamFailed, 401, {}, 0.0),
        (UpstreamFailed, 408, {}, None),
        (UpstreamUnreachable, 503, {}, None),
        (UpstreamFailed, 400, {"x_litellm_call_id": "x", "x_litellm_response_cost": "0"}, None),
    ],
)
def test_tells_what_has_cost_nothing_from_what_may_have(
    exchange: Exchange,
    error: type[GatewayError],
    status: int,
    headers: dict[str, str],
    cost: float | None,
) -> None:
    call_headers(exchange)

    assert cost_of(exchange, error, status, **headers) == cost


def test_says_nothing_of_what_did_not_go_out(exchange: Exchange) -> None:
    assert cost_of(exchange, UpstreamUnreachable, 0) is None


def test_says_nothing_of_what_went_well(exchange: Exchange) -> None:
    call_headers(exchange)
    note_cost_of_failure(exchange)

    assert "cost" not in exchange.record.facts


def test_files_calls_by_ids_of_their_own_that_name_the_request(exchange: Exchange) -> None:
    ids = [call_headers(exchange)["x-litellm-call-id"] for _ in range(2)]

    assert ids[0] != ids[1] == exchange.record.facts["call_id"]
    assert [request_id_of(call_id) for call_id in ids] == ["request-1", "request-1"]
    assert request_id_of("cf9a1c3e-0f3c-4e0d-93a5-7c1d7c6f9b10x") == ""
