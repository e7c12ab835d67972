"""A server that is told to stop: what it serves until when, and how it ends what is left."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import Running, RunningSupabase
from tests.gateway_project.server.conftest import Serve, Served
from tests.gateway_project.server.wire import Wire
from tests.timing import wait_until

HEALTH = b"GET /api/v1/system/health HTTP/1.1\r\nHost: localhost\r\n"
CHAT = "/api/v1/llm/v1/chat/completions"


@pytest.fixture
def headers(supabase: RunningSupabase) -> dict[str, str]:
    return {"authorization": f"Bearer {supabase.token()}"}


def _body(model: str, *, stream: bool = True) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}


def _call(headers: dict[str, str], body: dict[str, Any]) -> bytes:
    """Return a model call as it goes over the wire."""
    content = json.dumps(body).encode()
    fields = {**headers, "host": "localhost", "content-length": str(len(content))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {CHAT} HTTP/1.1\r\n{head}\r\n".encode() + content


@contextmanager
def _stream(served: Served, headers: dict[str, str], model: str) -> Iterator[Iterator[str]]:
    """Begin a stream, and give its lines after the first has come."""
    asking = httpx.stream("POST", served.url + CHAT, headers=headers, json=_body(model), timeout=30)
    with asking as answer:
        lines = answer.iter_lines()
        assert next(lines)
        yield lines


def _sign_out(served: Served, token: str) -> httpx.Response:
    """Make a request of the control plane, which asks Supabase."""
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{served.url}/api/v1/me/sign-out", headers=headers, timeout=30)


def _events(served: Served) -> list[dict[str, Any]]:
    spool: Path = served.log.parent / "spool"
    lines = [line for file in spool.iterdir() for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_serves_on_with_red_readiness_and_then_finishes_what_is_under_way(
    serve: Serve, headers: dict[str, str], supabase: RunningSupabase
) -> None:
    served = serve(SHUTDOWN_NOTICE_SECONDS="2")
    with (
        ThreadPoolExecutor() as pool,
        socket.create_connection(("127.0.0.1", served.port)) as unused,
        _stream(served, headers, "stub/s-n60-d50") as lines,
    ):
        assert httpx.get(f"{served.url}/api/v1/system/ready").status_code == 200
        supabase.fault("/logout", delay=3)
        leaving = pool.submit(_sign_out, served, supabase.token("bob@example.com"))
        served.stop()

        wait_until(lambda: httpx.get(f"{served.url}/api/v1/system/ready").status_code == 503)
        readiness = httpx.get(f"{served.url}/api/v1/system/ready")
        assert [check["name"] for check in readiness.json()["checks"]] == ["process"]
        meanwhile = httpx.post(
            served.url + CHAT, headers=headers, json=_body("stub/s-n3", stream=False)
        )
        assert meanwhile.status_code == 200
        assert meanwhile.headers["connection"] == "close"

        wait_until(lambda: not served.takes_connections())
        assert unused.recv(1) == b""
        assert list(lines)[-2] == "data: [DONE]"
        assert leaving.result().is_success
    assert served.wait() == 0
    assert {event["status"] for event in _events(served) if event["path"] == CHAT} == {200}


def test_serves_once_more_who_was_not_told_and_closes_what_is_unused(
    serve: Serve, headers: dict[str, str]
) -> None:
    served = serve()
    with (
        Wire(served.port) as half,
        Wire(served.port) as kept,
        Wire(served.port) as unused,
        Wire(served.port) as streamed,
    ):
        for wire in (kept, unused):
            wire.send(HEALTH + b"\r\n")
            assert wire.answer() is not None
        half.send(HEALTH)
        streamed.send(_call(headers, _body("stub/s-n30-d50")))
        assert streamed.socket.recv(1, socket.MSG_PEEK)  # the head, before it could say so
        served.stop()
        wait_until(lambda: not served.takes_connections())

        half.send(b"\r\n")
        kept.send(HEALTH + b"\r\n")
        told = [half.answer(), kept.answer()]
        whole = streamed.answer()
        streamed.send(HEALTH + b"\r\n")
        told.append(streamed.answer())

        assert whole is not None
        assert "connection" not in whole[1]
        assert whole[2].endswith(b"data: [DONE]\n\n")
        assert [(answer[0], answer[1]["connection"]) for answer in told if answer] == [
            (200, "close")
        ] * 3
        assert unused.answer() is None
    assert served.wait() == 0


def test_ends_what_takes_longer_than_it_may(
    serve: Serve, headers: dict[str, str], litellm: Running, supabase: RunningSupabase
) -> None:
    served = serve(SHUTDOWN_DRAIN_SECONDS="0.5")
    with (
        httpx.Client(base_url=served.url, headers=headers, timeout=30) as client,
        ThreadPoolExecutor() as pool,
        socket.create_connection(("127.0.0.1", served.port)) as slow,
        _stream(served, headers, "stub/s-n2000-d50") as lines,
    ):
        supabase.fault("/logout", delay=4)
        slow.sendall(b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % CHAT.encode())
        slow.sendall(f"Authorization: {headers['authorization']}\r\n".encode())
        slow.sendall(b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        asked = pool.submit(client.post, CHAT, json=_body("stub/s-n2000-d50", stream=False))
        leaving = pool.submit(_sign_out, served, supabase.token("bob@example.com"))
        wait_until(lambda: bool(supabase.requests("/logout")))
        wait_until(lambda: len(litellm.requests("/chat/completions")) > 1)
        served.stop()

        received = list(lines)
        assert "event: error" in received
        assert json.loads(received[-2].removeprefix("data: "))["code"] == "gateway_stopping"
        for answer in (asked.result(), leaving.result()):
            assert (answer.status_code, answer.json()["code"]) == (503, "gateway_stopping")
        assert slow.recv(100).startswith(b"HTTP/1.1 503 ")
    assert served.wait() == 0
    codes = {event["code"] for event in _events(served) if event["path"] == CHAT}
    assert "gateway_stopping" in codes


def test_ends_at_once_at_the_second_signal(serve: Serve, headers: dict[str, str]) -> None:
    served = serve()
    with _stream(served, headers, "stub/s-n2000-d50"):
        served.process.send_signal(signal.SIGINT)
        wait_until(lambda: not served.takes_connections())
        served.process.send_signal(signal.SIGINT)

        assert served.wait() == 128 + signal.SIGINT


def test_replaces_workers_that_die_and_stops_all_of_them(
    serve: Serve, headers: dict[str, str]
) -> None:
    served = serve("--workers", "2")
    wait_until(lambda: len(served.workers()) == 2)
    first, second = served.workers()

    # A worker that dies too soon after its start may be one that always will.
    wait_until(lambda: served.log.read_text().count("Application startup complete") == 2, 60)
    first.kill()
    wait_until(lambda: len(served.workers()) == 2 and first not in served.workers(), 60)
    assert second in served.workers()
    wait_until(lambda: served.log.read_text().count("Application startup complete") == 3, 60)

    with _stream(served, headers, "stub/s-n40-d50") as lines:
        for process in (psutil.Process(served.process.pid), *served.workers()):
            process.send_signal(signal.SIGINT)  # as Ctrl-C in a terminal does
        assert list(lines)[-2] == "data: [DONE]"
    assert served.wait() == 0


def test_stops_workers_whose_parent_is_gone(serve: Serve) -> None:
    served = serve("--workers", "2")
    workers = served.workers()

    served.process.kill()

    _, left = psutil.wait_procs(workers, timeout=20)
    assert not left
