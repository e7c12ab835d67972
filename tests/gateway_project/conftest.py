from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import caches
from django_ratelimit import core as ratelimit

from gateway_core import access
from gateway_core.context import RequestRecord
from gateway_project.sandbox.store import free_port
from gateway_project.throttling import ForgivingRedisCache
from tests.timing import wait_until


@pytest.fixture(autouse=True)
def _forget_counters() -> Iterator[None]:
    caches["limits"].clear()
    yield
    caches["limits"].clear()


@pytest.fixture(autouse=True)
def _windows_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no window of django-ratelimit end in the middle of a test."""
    now = time.time()
    monkeypatch.setattr(ratelimit, "time", SimpleNamespace(time=lambda: now))


@pytest.fixture
def without_valkey(settings: Any) -> Iterator[ForgivingRedisCache]:
    """The limits' cache over a Valkey that is not there."""
    usual = settings.CACHES
    dead = {
        "BACKEND": "gateway_project.throttling.ForgivingRedisCache",
        "LOCATION": f"redis://127.0.0.1:{free_port()}/0",
    }
    settings.CACHES = {**usual, "limits": dead}
    cache: Any = caches["limits"]
    yield cache
    cache._own.clear()
    settings.CACHES = usual
    ForgivingRedisCache.outage.end()


@pytest.fixture
def caller_id() -> str:
    """An id for a request, as a caller gives one."""
    return f"test-{uuid4().hex}"


@pytest.fixture
def ended() -> Iterator[Callable[[str], RequestRecord]]:
    """Wait for a request to end, and return its record."""
    records: list[RequestRecord] = []
    access.sinks.append(records.append)

    def wait(request_id: str) -> RequestRecord:
        def found() -> list[RequestRecord]:
            return [record for record in records if record.request_id == request_id]

        wait_until(found)
        return found()[0]

    yield wait
    access.sinks.remove(records.append)
