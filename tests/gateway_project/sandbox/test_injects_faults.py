from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway_project.sandbox.faults import Faults
from gateway_project.sandbox.serving import LoopbackServer
from tests.timing import wait_until

_resets: list[str] = []


async def _echo(request: Request) -> Response:
    return JSONResponse({"got": len(await request.body())})


async def _endless(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"piece"
            await asyncio.sleep(0.005)

    return StreamingResponse(pieces())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = Starlette(
        routes=[Route("/echo", _echo, methods=["GET", "POST"]), Route("/endless", _endless)]
    )
    with LoopbackServer() as server:
        yield server.start(Faults(app, reset=lambda: _resets.append("reset"))).url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url) as client:
        client.post("/_sandbox/reset").raise_for_status()
        yield client


def _fault(client: httpx.Client, **members: object) -> None:
    client.post("/_sandbox/fault", json={"path": "echo", **members}).raise_for_status()


def test_answers_the_wished_status_body_and_headers(client: httpx.Client) -> None:
    _fault(client, status=503, body={"error": "down"}, headers={"retry-after": "7"})
    answer = client.get("/echo")
    assert (answer.status_code, answer.json()) == (503, {"error": "down"})
    assert answer.headers["retry-after"] == "7"


def test_hits_so_many_times_and_then_never(client: httpx.Client) -> None:
    _fault(client, status=500, times=2)
    assert [client.get("/echo").status_code for _ in range(4)] == [500, 500, 200, 200]


def test_hits_only_the_path_and_method_it_names(client: httpx.Client) -> None:
    _fault(client, status=500, method="POST")
    assert client.get("/echo").status_code == 200
    assert client.post("/echo").status_code == 500
    assert client.get("/other").status_code == 404


def test_delays_the_answer(client: httpx.Client) -> None:
    _fault(client, delay=0.05)
    began = time.monotonic()
    assert client.get("/echo").status_code == 200
    assert time.monotonic() - began >= 0.05


def test_answers_what_is_not_json(client: httpx.Client) -> None:
    _fault(client, garbage=True)
    answer = client.get("/echo")
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(ValueError, match="Expecting"):
        answer.json()


def test_drops_the_connection_before_the_first_byte(client: httpx.Client) -> None:
    _fault(client, cut_after=0)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.get("/echo")


def test_drops_the_connection_after_so_many_bytes(client: httpx.Client) -> None:
    _fault(client, path="endless", cut_after=7)
    got: list[bytes] = []
    with client.stream("GET", "/endless") as answer, pytest.raises(httpx.RemoteProtocolError):
        got.extend(answer.iter_raw())
    assert b"".join(got) == b"piecepi"
    assert client.get("/_sandbox/requests").json()[0]["client_left"] is False


def test_removes_faults_when_told(client: httpx.Client) -> None:
    _fault(client, status=500)
    client.delete("/_sandbox/fault")
    assert client.get("/echo").status_code == 200


def test_logs_what_arrived(client: httpx.Client) -> None:
    client.post("/echo?a=1", content=b"x" * 70_000, headers={"x-mark": "m"})
    entry = client.get("/_sandbox/requests").json()[0]
    assert (entry["method"], entry["path"], entry["query"]) == ("POST", "/echo", "a=1")
    assert (entry["headers"]["x-mark"], entry["status"]) == ("m", 200)
    assert (len(entry["body"]), entry["body_bytes"]) == (65_536, 70_000)


def test_tells_that_the_caller_left_a_stream(client: httpx.Client) -> None:
    with client.stream("GET", "/endless") as answer:
        next(answer.iter_raw())

    def entry() -> dict[str, object]:
        return dict(client.get("/_sandbox/requests").json()[0])

    wait_until(lambda: entry()["client_left"] and entry()["seconds"] is not None)


def test_resets_faults_log_and_the_stand_in(client: httpx.Client) -> None:
    _resets.clear()
    _fault(client, status=500)
    client.get("/echo")
    client.post("/_sandbox/reset")
    assert client.get("/_sandbox/requests").json() == []
    assert client.get("/echo").status_code == 200
    assert _resets == ["reset"]
