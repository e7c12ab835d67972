"""The end of a request of the control plane: its id, one line, its metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from gateway_core import access, context
from gateway_core.access import recorded
from gateway_core.context import RequestRecord


@pytest.fixture
def concluded() -> Iterator[list[RequestRecord]]:
    records: list[RequestRecord] = []
    access.sinks.append(records.append)
    yield records
    access.sinks.remove(records.append)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> structlog.testing.LogCapture:
    capture = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(None, processors=[capture])
    monkeypatch.setattr(access, "_log", logger)
    return capture


def _scope(path: str = "/api/v1/me", method: str = "GET", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "client": ("203.0.113.7", 4711),
        "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in headers.items()
        ],
    }


def _answering(status: int = 200, *chunks: bytes) -> Any:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    return application


async def _ask(application: Any, scope: dict[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = {}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers.update({name.decode(): value.decode() for name, value in message["headers"]})

    await recorded(application)(scope, None, send)  # type: ignore[arg-type]
    return headers


async def test_makes_an_id_and_gives_it_back() -> None:
    headers = await _ask(_answering(), _scope())

    assert re.fullmatch(r"req_[0-9a-f]{24}", headers["x-request-id"])
    assert headers["content-type"] == "text/plain"


async def test_takes_over_a_well_formed_id() -> None:
    headers = await _ask(_answering(), _scope(x_request_id="order-2024.11_7"))

    assert headers["x-request-id"] == "order-2024.11_7"


@pytest.mark.parametrize(
    "given", ["short", "x" * 65, "with blank", "line\nbreak", "a;b;c;d;e", "ünïcödé-id", ""]
)
async def test_replaces_a_malformed_id(given: str) -> None:
    headers = await _ask(_answering(), _scope(x_request_id=given))

    assert headers["x-request-id"].startswith("req_")


async def test_shows_the_id_to_the_application() -> None:
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(context.request_id())
        await _answering()(scope, receive, send)

    headers = await _ask(application, _scope())

    assert seen == [headers["x-request-id"]]


async def test_carries_on_a_callers_trace(concluded: list[RequestRecord]) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    await _ask(_answering(), _scope(traceparent=f"00-{trace}-00f067aa0ba902b7-01"))
    await _ask(_answering(), _scope(traceparent=f"00-{'0' * 32}-00f067aa0ba902b7-01"))

    assert concluded[0].trace_id == trace
    assert concluded[1].trace_id != "0" * 32


async def test_writes_one_line_at_the_end(lines: structlog.testing.LogCapture) -> None:
    headers = await _ask(_answering(201, b"four", b"five5"), _scope("/api/v1/things", "POST"))

    (line,) = lines.entries
    assert line["event"] == "request"
    assert line["log_level"] == "info"
    assert line["request_id"] == headers["x-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/v1/things", 201)
    assert line["client_ip"] == "203.0.113.7"
    assert line["bytes_out"] == 9
    assert line["duration_ms"] >= line["first_byte_ms"] >= 0
    assert not [name for name in line if "header" in name or "body" in name]


async def test_writes_an_error_when_the_gateway_or_an_upstream_failed(
    lines: structlog.testing.LogCapture,
) -> None:
    await _ask(_answering(503), _scope())
    await _ask(_answering(404), _scope())

    assert [line["log_level"] for line in lines.entries] == ["error", "info"]


async def test_writes_no_line_for_preflights(lines: structlog.testing.LogCapture) -> None:
    await _ask(_answering(204), _scope(method="OPTIONS"))

    assert lines.entries == []


async def test_writes_the_line_also_when_the_application_breaks(
    lines: structlog.testing.LogCapture,
) -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        await _ask(broken, _scope())

    (line,) = lines.entries
    assert (line["status"], line["code"]) == (500, "gateway_internal_error")


async def test_writes_the_line_also_when_the_request_is_cancelled(
    lines: structlog.testing.LogCapture,
) -> None:
    begun = asyncio.Event()

    async def hanging(_scope: Any, _receive: Any, _send: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(_ask(hanging, _scope()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    (line,) = lines.entries
    assert (line["status"], line["code"]) == (499, "caller_gone")


async def test_says_that_the_caller_left_where_nothing_was_answered(
    concluded: list[RequestRecord],
) -> None:
    async def silent(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    await _ask(silent, _scope())
    await _ask(_answering(204), _scope())

    told = [(record.status, record.error_code) for record in concluded]
    assert told == [(499, "caller_gone"), (204, "")]


async def test_counts_the_request() -> None:
    labels = {"route": "control", "operation": "-", "status": "418", "code": "-"}
    before = REGISTRY.get_sample_value("gateway_requests_total", labels) or 0

    await _ask(_answering(418), _scope())

    assert REGISTRY.get_sample_value("gateway_requests_total", labels) == before + 1
