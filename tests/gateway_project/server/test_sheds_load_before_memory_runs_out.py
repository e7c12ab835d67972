"""A process of its own that has a bound on its memory, and callers who make it hold more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest

from tests.conftest import RunningSupabase
from tests.gateway_project.server.conftest import Serve, Served
from tests.gateway_project.waiting import sent
from tests.timing import wait_until

_CHAT = "/api/v1/llm/v1/chat/completions"
_MEBIBYTE = 1024 * 1024
_BOUND = 400 * _MEBIBYTE  # some 180 of them are there from the start
_BODIES, _BODY_BYTES = 24, 19 * _MEBIBYTE
_LINES = ("short of memory", "enough memory again")


@pytest.fixture
def caller(supabase: RunningSupabase, served: Served) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {supabase.token()}"}
    with httpx.Client(base_url=served.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(MAX_MEMORY_BYTES=str(_BOUND), MAX_HELD_BYTES=str(1024 * _MEBIBYTE))


def _body(text: str, **members: Any) -> dict[str, Any]:
    return {"model": "stub/s-n3", "messages": [{"role": "user", "content": text}], **members}


def _says(served: Served, line: str) -> int:
    return served.log.read_text().count(line)


def test_begins_nothing_new_until_what_is_held_is_free(
    served: Served, caller: httpx.Client
) -> None:
    content = json.dumps(_body("x" * _BODY_BYTES, stream=True)).encode()
    fields = (
        f"Authorization: {caller.headers['authorization']}",
        f"Content-Length: {len(content)}",
    )
    assert caller.post(_CHAT, json=_body("hi")).status_code == 200
    beginning = partial(sent, served.url, _CHAT, *fields, body=content[:-1])
    with ExitStack() as under_way:
        begun = [under_way.enter_context(beginning())]
        while not _says(served, _LINES[0]) and len(begun) < _BODIES:
            begun.append(under_way.enter_context(beginning()))
        wait_until(lambda: _says(served, _LINES[0]) == 1)

        refused = caller.post(_CHAT, json=_body("hi"))
        assert (refused.status_code, refused.json()["code"]) == (503, "gateway_overloaded")
        assert refused.headers["retry-after"] == "5"
        assert "x-should-retry" not in refused.headers
        assert "short of memory" in refused.json()["detail"]
        readiness = httpx.get(f"{served.url}/api/v1/system/ready")
        assert (readiness.status_code, readiness.json()["status"]) == (200, "degraded")
        assert "gateway_memory_short 1.0" in httpx.get(f"{served.url}/metrics").text

        begun[0].sendall(content[-1:])
        with closing(HTTPResponse(begun[0])) as answer:
            answer.begin()
            assert answer.status == 200
            assert answer.read().endswith(b"data: [DONE]\n\n")
    wait_until(lambda: caller.post(_CHAT, json=_body("hi")).status_code == 200)
    wait_until(lambda: "gateway_memory_short 0.0" in httpx.get(f"{served.url}/metrics").text)
    assert [_says(served, line) for line in _LINES] == [1, 1]
