from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from accounts import conf
from gateway_project.sandbox.store import free_port
from gateway_project.system import probes
from gateway_project.system.views import readiness


@pytest.fixture(autouse=True)
def _ask_anew() -> Iterator[None]:
    readiness.forget()
    conf.verifier.cache_clear()
    yield
    readiness.forget()
    conf.verifier.cache_clear()


@pytest.fixture
def nowhere() -> str:
    """An address that nothing listens at."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def dead_database(monkeypatch: pytest.MonkeyPatch) -> BaseDatabaseWrapper:
    """A real connection to a server that is not there, in place of the probe's."""
    connection = connections[DEFAULT_DB_ALIAS]
    there: dict[str, Any] = connection.settings_dict
    dead = type(connection)(
        {**there, "HOST": "127.0.0.1", "PORT": free_port(), "OPTIONS": {"connect_timeout": 1}}
    )
    monkeypatch.setattr(probes, "connection", dead)
    return dead
