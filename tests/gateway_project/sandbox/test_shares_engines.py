from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from gateway_project.sandbox.engines import Engines
from tests.timing import wait_until


def _start(data: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Engines, str]:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("REDIS_URL", "")
    engines = Engines(data, hasty=True)
    engines.start()
    return engines, os.environ["DATABASE_URL"]


def test_stops_only_with_the_last_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, url = _start(tmp_path, monkeypatch)
    second, url_of_second = _start(tmp_path, monkeypatch)
    assert url_of_second == url
    first.stop()
    psycopg.connect(url).close()
    second.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    wait_until(lambda: all(engine.exit_code() == 0 for engine in first._used))


def test_starts_nothing_when_urls_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    engines = Engines(tmp_path)
    engines.start()
    engines.stop()
    assert not (tmp_path / "postgres").exists()
    assert os.environ["DATABASE_URL"] == "postgresql://elsewhere/db"


def test_starts_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("REDIS_URL", "")
    engines = Engines(tmp_path, hasty=True)
    engines.start()
    try:
        assert os.environ["REDIS_URL"].startswith("redis://")
        assert not (tmp_path / "postgres").exists()
    finally:
        engines.stop()


def test_tells_which_engine_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines, _ = _start(tmp_path, monkeypatch)
    assert engines.ended() is None
    valkey = engines._used[1]
    assert valkey._child
    valkey._child.kill()
    valkey._child.wait()
    assert engines.ended() is valkey
    engines.stop()
