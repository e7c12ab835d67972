from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import caches
from django_ratelimit import core as ratelimit

from gateway_project.sandbox.store import free_port
from gateway_project.throttling import ForgivingRedisCache


@pytest.fixture(autouse=True)
def _hash_passwords_quickly(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


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
