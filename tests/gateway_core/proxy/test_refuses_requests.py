from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from gateway_core.http import UpstreamClient
from gateway_core.proxy import body
from gateway_core.upstream import Timeouts, with_limits
from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk, reply

if TYPE_CHECKING:
    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["error"]["code"] == code
    return document


async def test_refuses_a_bad_token_before_anything_else(
    gateway: Gateway, upstream: Upstream
) -> None:
    answer = await gateway.client.get(
        "/api/v1/test/no/such/path", headers={"authorization": "Bearer bad"}
    )
    problem(answer, 401, "caller_token_invalid")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="gateway", error=')
    assert upstream.calls == []


@pytest.mark.parametrize(
    "path",
    [
        "/things%2F7",
        "/things/..%2f7",
        "/things/%2e%2e",
        "/things/a%5cb",
        "/things/a%3bb",
        "/things/a%00b",
        "/things/a%252fb",
        "/things/%ff",
        "//things/7",
        "/things//7",
        "/things/7//",
        "/things/a%0d%0ab",
    ],
)
async def test_refuses_a_path_that_could_be_read_in_two_ways(
    gateway: Gateway, upstream: Upstream, path: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"GET /api/v1/test{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n\r\n".encode()
    )
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    assert upstream.calls == []


async def test_refuses_what_is_not_in_the_catalogue(gateway: Gateway, upstream: Upstream) -> None:
    for method, path in [("GET", "/nothing"), ("DELETE", "/things/7"), ("GET", "/Things/7")]:
        answer = await gateway.client.request(method, f"/api/v1/test{path}")
        problem(answer, 404, "caller_not_found")
    assert upstream.calls == []


async def test_prefers_a_literal_segment_to_a_parameter(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = reply(body={})
    await gateway.client.get("/api/v1/test/things/active")
    await gateway.client.get("/api/v1/test/things/other/")
    assert [call.target for call in upstream.calls] == ["/things/active", "/things/other"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{broken", "application/json", 400, "caller_request_malformed"),
        (b'{"a": NaN}', "application/json", 400, "caller_request_malformed"),
        (b'{"a": "\xff"}', "application/json", 400, "caller_request_malformed"),
        (b"[" * 1500, "application/json", 400, "caller_request_malformed"),
        (b"[" * 300 + b"]" * 300, "application/json", 400, "caller_request_malformed"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "caller_media_type_unsupported"),
        (b'"' + b"x" * 2000 + b'"', "application/json", 413, "caller_body_too_large"),
    ],
)
async def test_refuses_a_body_that_is_not_small_json(  # noqa: PLR0917
    gateway: Gateway, upstream: Upstream, body: bytes, content_type: str, status: int, code: str
) -> None:
    answer = await gateway.client.post(
        "/api/v1/test/say", content=body, headers={"content-type": content_type}
    )
    problem(answer, status, code)
    assert upstream.calls == []


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/say", "application/json"), ("/things/7/upload", "multipart/form-data; boundary=x")],
)
async def test_refuses_a_compressed_body(
    gateway: Gateway, upstream: Upstream, path: str, content_type: str
) -> None:
    headers = {"content-type": content_type, "content-encoding": "gzip"}
    answer = await gateway.client.post(
        f"/api/v1/test{path}", content=gzip.compress(b"{}"), headers=headers
    )
    problem(answer, 415, "caller_media_type_unsupported")
    assert upstream.calls == []


async def test_refuses_a_body_that_grows_over_the_limit_without_saying_so(
    gateway: Gateway, upstream: Upstream
) -> None:
    async def growing() -> Any:
        for _ in range(5):
            yield b"x" * 500

    answer = await gateway.client.post(
        "/api/v1/test/say", content=growing(), headers={"content-type": "application/json"}
    )
    problem(answer, 413, "caller_body_too_large")
    assert upstream.calls == []


async def test_translates_an_upstream_error_answer(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = reply(500, body={"detail": "http://internal:4000 broke"})
    answer = await gateway.client.get("/api/v1/test/things/7")
    document = problem(answer, 502, "upstream_failed")
    assert document["detail"] == "upstream said 500"


async def test_says_503_when_nobody_listens(knobs: Knobs, gateway: Gateway) -> None:
    nobody = UpstreamClient(
        name=f"nobody-{uuid4()}",
        base_url="http://127.0.0.1:1",
        connect_timeout=1,
        max_connections=1,
    )
    knobs.hooks["upstream"] = with_limits(
        nobody, slots=lambda: 1, timeouts=lambda: Timeouts(first_byte=1, idle=1, total=1)
    )
    problem(await gateway.client.get("/api/v1/test/things/7"), 503, "upstream_unreachable")
    await nobody.close()


async def test_says_504_when_no_answer_begins_in_time(
    knobs: Knobs, upstream: Upstream, gateway: Gateway
) -> None:
    knobs.first_byte = 0.05

    async def never(call: Call, _writer: asyncio.StreamWriter) -> None:
        await call.reader.read()

    upstream.answer = never
    problem(await gateway.client.get("/api/v1/test/things/7"), 504, "upstream_timeout")
    await asyncio.wait_for(upstream.gone.wait(), 30)


async def test_says_502_when_the_upstream_answers_garbage(
    gateway: Gateway, upstream: Upstream
) -> None:
    async def garbage(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01 not http\r\n\r\n")
        writer.close()

    upstream.answer = garbage
    answer = await gateway.client.get("/api/v1/test/things/7")
    problem(answer, 502, "upstream_answer_invalid")


async def test_ends_a_broken_stream_with_an_error_event_between_whole_frames(
    gateway: Gateway, upstream: Upstream
) -> None:
    async def breaks(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b'data: {"n": 1}\n\ndata: {"half'))
        await writer.drain()
        writer.close()

    upstream.answer = breaks
    answer = await gateway.client.post("/api/v1/test/say", json={})
    frames = answer.text.split("\n\n")
    assert answer.status_code == 200
    assert frames[0] == 'data: {"n": 1}'
    assert frames[1].startswith('event: error\ndata: {"type":"urn:gateway:error:upstream_')
    assert frames[2:] == [""]


async def test_ends_a_silent_stream_with_an_error_event(
    knobs: Knobs, upstream: Upstream, gateway: Gateway
) -> None:
    knobs.idle = 0.05

    async def stalls(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await call.reader.read()

    upstream.answer = stalls
    answer = await gateway.client.post("/api/v1/test/say", json={})
    assert "event: error" in answer.text
    assert "upstream_timeout" in answer.text


async def test_cuts_a_broken_download_short_rather_than_ending_it_well(
    gateway: Gateway, upstream: Upstream
) -> None:
    async def breaks(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
        await writer.drain()
        writer.close()

    upstream.answer = breaks
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.client.get("/api/v1/test/things/7")


async def test_says_503_when_all_slots_are_held_and_nobody_may_wait(
    knobs: Knobs, upstream: Upstream, gateway: Gateway, settings: Any
) -> None:
    settings.UPSTREAM_QUEUE_PLACES = 0
    knobs.max_concurrent = 2
    release = asyncio.Event()

    async def held(call: Call, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await reply(body={})(call, writer)

    upstream.answer = held
    first_two = [
        asyncio.ensure_future(gateway.client.get("/api/v1/test/things/7")) for _ in range(2)
    ]
    while len(upstream.calls) < 2:
        await asyncio.sleep(0.005)
    problem(await gateway.client.get("/api/v1/test/things/7"), 503, "gateway_overloaded")
    release.set()
    assert [answer.status_code for answer in await asyncio.gather(*first_two)] == [200, 200]
    assert (await gateway.client.get("/api/v1/test/things/7")).status_code == 200


async def test_hides_an_unexpected_failure_behind_500(knobs: Knobs, gateway: Gateway) -> None:
    async def broken(_exchange: Any) -> None:
        raise ZeroDivisionError("secret detail")

    knobs.hooks["authorize"] = broken
    answer = await gateway.client.get("/api/v1/test/things/7")
    problem(answer, 500, "gateway_internal_error")
    assert "secret" not in answer.text


async def test_says_408_to_a_client_that_stalls_its_upload(
    gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "_IDLE_SECONDS", 0.05)

    async def swallow(call: Call, _writer: asyncio.StreamWriter) -> None:
        async for _ in call.read_chunked():
            pass

    upstream.answer = swallow
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST /api/v1/test/things/7/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n"
        b"content-type: multipart/form-data; boundary=b\r\ncontent-length: 9000\r\n\r\n--b\r\n"
    )
    assert (await reader.readline()).split()[1] == b"408"
    writer.close()
    await asyncio.wait_for(upstream.gone.wait(), 30)
