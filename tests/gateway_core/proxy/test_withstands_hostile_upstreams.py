"""Answers that are made to be read otherwise by whoever gets them."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway_core.room import USERS
from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk, reply

if TYPE_CHECKING:
    from tests.gateway_core.proxy.loopback import Answer, Gateway, Knobs, Upstream

_MEBIBYTE = 1024 * 1024


def raw(head: bytes, body: bytes = b"") -> Answer:
    """An answer of these bytes, after which the connection stays open."""

    async def answer(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)

    return answer


def stream(*pieces: bytes, ends: bool = True) -> Answer:
    async def answer(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for piece in pieces:
            writer.write(chunk(piece))
            await writer.drain()
        if ends:
            writer.write(b"0\r\n\r\n")
        else:
            writer.close()

    return answer


@pytest.mark.parametrize("status", [101, 199, 300, 304, 600, 999])
async def test_hands_on_no_status_that_is_no_answer(
    gateway: Gateway, upstream: Upstream, status: int
) -> None:
    upstream.answer = raw(b"HTTP/1.1 %d X\ncontent-length: 0" % status)

    answer = await asyncio.wait_for(gateway.client.get("/api/v1/test/things/1"), 8)

    assert answer.status_code in {502, 504}
    assert answer.json()["code"].startswith("upstream_")


async def test_waits_out_what_comes_before_the_answer(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = raw(
        b"HTTP/1.1 103 Early\nlink: </x>\n\nHTTP/1.1 200 OK\ncontent-length: 2", b"{}"
    )

    answer = await gateway.client.get("/api/v1/test/things/1")

    assert (answer.status_code, answer.content) == (200, b"{}")
    assert "link" not in answer.headers


async def test_takes_no_body_of_an_answer_that_can_have_none(
    gateway: Gateway, upstream: Upstream
) -> None:
    injected = b'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"x": 1}'
    upstream.answer = raw(b"HTTP/1.1 204 X\ncontent-length: %d" % len(injected), injected)
    first = await gateway.client.get("/api/v1/test/things/1")
    upstream.answer = reply(body={"of": "bob"})
    second = await gateway.client.get("/api/v1/test/things/2")

    assert (first.status_code, first.content) == (204, b"")
    assert second.json() == {"of": "bob"}


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\ncontent-length: 2\ncontent-length: 20",
        b"HTTP/1.1 200 OK\ncontent-length: 2\ntransfer-encoding: chunked",
        b"HTTP/1.1 200 OK\ncontent-length: +2",
        b"HTTP/1.1 200 OK\ncontent-length: -2",
        b"HTTP/1.1 200 OK\netag: a\0b\ncontent-length: 2",
        b"HTTP/1.1 200 OK\netag: a\rset-cookie: b\ncontent-length: 2",
        b"HTTP/1.1 200 OK\netag : a\ncontent-length: 2",
        b"HTTP/1.1 200 OK\n" + b"etag: a\n" * 5000 + b"content-length: 2",
        b"HTTP/1.1 200 OK\netag: " + b"a" * 100_000 + b"\ncontent-length: 2",
    ],
    ids=["two lengths", "two framings", "plus", "minus", "nul", "cr", "space", "many", "long"],
)
async def test_hands_on_no_answer_with_a_head_that_can_be_read_in_two_ways(
    gateway: Gateway, upstream: Upstream, head: bytes
) -> None:
    upstream.answer = raw(head, b"{}")

    answer = await gateway.client.get("/api/v1/test/things/1")

    assert answer.status_code == 502
    assert answer.json()["code"].startswith("upstream_")


async def test_hands_on_no_field_with_control_characters(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = raw(
        b"HTTP/1.1 200 OK\netag: a\x01b\nlast-modified: \x1b[31m\nx-litellm-call-id: fine\n"
        b"location: http://inside\nset-cookie: a=b\nserver: letta\nx-powered-by: x\nlink: </x>\n"
        b"refresh: 0\ncontent-length: 2",
        b"{}",
    )

    answer = await gateway.client.get("/api/v1/test/things/1")

    assert answer.headers["x-litellm-call-id"] == "fine"
    assert not {"etag", "last-modified", "location", "set-cookie", "x-powered-by", "link"} & set(
        answer.headers
    )
    assert answer.headers.get("server") != "letta"


async def test_unpacks_nothing(gateway: Gateway, upstream: Upstream, knobs: Knobs) -> None:
    bomb = gzip.compress(b" " * 64 * _MEBIBYTE)
    upstream.answer = reply(body=bomb, content_encoding="gzip")
    async with gateway.client.stream("GET", "/api/v1/test/things/1") as passed:
        assert b"".join([piece async for piece in passed.aiter_raw()]) == bomb
        assert passed.headers["content-encoding"] == "gzip"

    async def reshape(document: Any) -> Any:
        return document

    knobs.hooks["reshape"] = reshape
    answer = await gateway.client.get("/api/v1/test/things/1")

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_answer_invalid")
    assert USERS.held() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 2000 + b"]" * 2000,
        b"[" * 300 + b"]" * 300,  # which can be read, and not be written again
        b'{"a": NaN}',
        b'"\xff"',
        b'"\\ud800"',
        b"1e999999",
    ],
    ids=["unclosed", "deep", "less deep", "nan", "no utf-8", "half a pair", "huge"],
)
async def test_reshapes_no_document_that_is_none(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, body: bytes
) -> None:
    async def reshape(document: Any) -> Any:
        return document

    knobs.hooks["reshape"] = reshape
    upstream.answer = reply(body=body)

    answer = await gateway.client.get("/api/v1/test/things/1")

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_answer_invalid")


async def test_ends_a_stream_with_an_event_of_its_own_even_within_a_huge_frame(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = stream(b"data: " + b"x" * 2 * _MEBIBYTE, ends=False)

    answer = await gateway.client.post("/api/v1/test/say", json={})

    last = answer.text.split("\n\n")[-2]
    assert last.startswith("event: error\ndata: {")
    assert json.loads(last.partition("data: ")[2])["code"] == "upstream_interrupted"


async def test_lets_texts_end_no_line_of_a_stream(gateway: Gateway, upstream: Upstream) -> None:
    said = json.dumps(
        {"text": "\n\nevent: error\ndata: {}\r\rdata: [DONE]\n\n\u2028\u2029\x85\ufeff"}
    )
    frame = b"data: " + said.encode() + b"\n\n"
    upstream.answer = stream(frame[:20], frame[20:], b"\xff\xfe\x00: raw\n\n")

    answer = await gateway.client.post("/api/v1/test/say", json={})

    assert answer.content == frame + b"\xff\xfe\x00: raw\n\n"
