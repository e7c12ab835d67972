"""A request's record knows whether something outside may have been changed in its name."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway_core import context
from gateway_core.context import RequestRecord
from gateway_core.errors import UpstreamError, UpstreamFailed, UpstreamUnreachable
from gateway_core.http import UpstreamClient
from gateway_core.rest import RestClient

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def record() -> Iterator[RequestRecord]:
    yield context.begin({"headers": [], "path": "/", "method": "POST"})
    context.current.set(None)


@pytest.fixture
def somewhere() -> Iterator[str]:
    """An address that takes what is sent, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _ask(method: str, url: str) -> None:
    client = RestClient(url, read_timeout=0.02)
    with suppress(UpstreamError):
        client.call(method, "/", payload={})
    client.close()


async def _fetch(method: str, url: str) -> None:
    client = UpstreamClient(name="test", base_url=url, connect_timeout=1, max_connections=1)
    with suppress(UpstreamError):
        await client.fetch(method, "/", headers={}, timeout_seconds=0.02)
    await client.close()


@pytest.mark.parametrize(
    ("method", "may_change"), [("POST", True), ("DELETE", True), ("GET", False)]
)
def test_notes_what_was_sent_by_method(
    record: RequestRecord, somewhere: str, method: str, *, may_change: bool
) -> None:
    _ask(method, somewhere)

    assert record.has_effect is may_change


@pytest.mark.parametrize(("method", "may_change"), [("POST", True), ("GET", False)])
async def test_notes_what_the_data_planes_client_was_sent_for(
    record: RequestRecord, somewhere: str, method: str, *, may_change: bool
) -> None:
    await _fetch(method, somewhere)

    assert record.has_effect is may_change


async def test_notes_nothing_when_nothing_was_sent(record: RequestRecord) -> None:
    await asyncio.to_thread(_ask, "POST", NOWHERE)
    await _fetch("POST", NOWHERE)

    assert not record.has_effect


def test_forgets_no_effect_for_a_later_call_that_was_not_sent(record: RequestRecord) -> None:
    with suppress(UpstreamFailed), context.changing("POST"):
        raise UpstreamFailed
    with suppress(UpstreamUnreachable), context.changing("POST"):
        raise UpstreamUnreachable

    assert record.has_effect


def test_forgets_what_was_taken_back(record: RequestRecord) -> None:
    with context.changing("POST"):
        pass
    context.nothing_remains()

    assert not record.has_effect


def test_needs_no_request() -> None:
    with context.changing("POST"):
        context.nothing_remains()
