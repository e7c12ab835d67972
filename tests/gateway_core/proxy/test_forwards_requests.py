from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk, reply

if TYPE_CHECKING:
    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream


async def test_forwards_json_with_our_credential_and_hands_the_answer_on(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = reply(body={"said": "hello"})
    answer = await gateway.client.post("/api/v1/test/v1/say", json={"text": "hello"})
    assert (answer.status_code, answer.json()) == (200, {"said": "hello"})
    call = upstream.calls[0]
    assert (call.method, call.target, call.body) == ("POST", "/v1/say", b'{"text":"hello"}')
    assert call.header("authorization") == "Bearer ours"


async def test_drops_every_header_that_is_not_on_the_allow_list_both_ways(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = reply(
        body={}, set_cookie="a=b", x_litellm_model_api_base="http://in", etag="e"
    )
    answer = await gateway.client.get(
        "/api/v1/test/things/7",
        headers={
            "user_id": "user-1",
            "x-project-id": "p",
            "cookie": "c=d",
            "x-forwarded-for": "1.2.3.4",
            "x-stainless-lang": "python",
            "connection": "x-hop",
            "x-hop": "1",
        },
    )
    sent = {name for name, _ in upstream.calls[0].headers}
    assert sent == {
        "host",
        "accept",
        "user-agent",
        "authorization",
        "x-stainless-lang",
        "x-request-id",
        "traceparent",
    }
    assert upstream.calls[0].header("user-agent") == "ai-agent-gateway"
    assert answer.headers["etag"] == "e"
    assert "set-cookie" not in answer.headers
    assert "x-litellm-model-api-base" not in answer.headers


async def test_keeps_a_well_formed_request_id_and_trace(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = reply(body={})
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await gateway.client.get(
        "/api/v1/test/things/7", headers={"x-request-id": "my-request-1", "traceparent": trace}
    )
    assert answer.headers["x-request-id"] == "my-request-1"
    assert upstream.calls[0].header("x-request-id") == "my-request-1"
    sent = upstream.calls[0].header("traceparent") or ""
    assert sent.split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert sent != trace


@pytest.mark.parametrize("given", ["short", "has space in it", "x" * 65, "line%0d%0abreak"])
async def test_replaces_a_request_id_that_could_break_a_log_line(
    gateway: Gateway, upstream: Upstream, given: str
) -> None:
    upstream.answer = reply(body={})
    answer = await gateway.client.get("/api/v1/test/things/7", headers={"x-request-id": given})
    assert answer.headers["x-request-id"].startswith("req_")


async def test_sends_no_body_and_no_unknown_query_upstream_when_the_operation_has_none(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = reply(body={})
    await gateway.client.request(
        "GET", "/api/v1/test/things/7?user_id=user-1", json={"sneaky": True}
    )
    assert (upstream.calls[0].target, upstream.calls[0].body) == ("/things/7", b"")


async def test_never_follows_nor_hands_on_a_redirect(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = reply(307, body={}, location="http://169.254.169.254/")
    answer = await gateway.client.get("/api/v1/test/things/7")
    assert answer.status_code == 502
    assert answer.json()["code"] == "upstream_answer_invalid"
    assert "location" not in answer.headers
    assert len(upstream.calls) == 1


async def test_relays_events_as_they_come_with_headers_against_buffering(
    gateway: Gateway, upstream: Upstream
) -> None:
    may_go_on = asyncio.Event()

    async def answer(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: one\n\n"))
        await may_go_on.wait()
        writer.write(chunk(b"data: two\n\n") + chunk(b""))

    upstream.answer = answer
    async with gateway.client.stream("POST", "/api/v1/test/say", json={}) as response:
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"data: one\n\n"
        may_go_on.set()
        assert await anext(pieces) == b"data: two\n\n"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-cache, no-transform"


async def test_hands_reshaped_json_to_the_caller(
    upstream: Upstream, knobs: Knobs, gateway: Gateway
) -> None:
    async def strip(document: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in document.items() if name != "secret"}

    knobs.hooks["reshape"] = strip
    upstream.answer = reply(body={"id": "1", "secret": "s"})
    answer = await gateway.client.get("/api/v1/test/things/7")
    assert answer.json() == {"id": "1"}
    assert int(answer.headers["content-length"]) == len(answer.content)
