from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from gateway_core import access
from gateway_core.audit import trail
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship
from tests.timing import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_django import Settings

    from gateway_core.audit.spool import Spool
    from tests.gateway_core.audit.conftest import MakeRecord, RunProgram

_SOON_SECONDS = 30


@pytest.fixture
def own_trail(
    settings: Settings,
    spool_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    transactional_db: None,
) -> Iterator[None]:
    """A trail of this test alone."""
    del transactional_db
    settings.AUDIT_SPOOL_DIR = spool_directory
    settings.AUDIT_SHIP_SECONDS = 60
    monkeypatch.setattr(trail, "_spool", None)
    monkeypatch.setattr(trail, "_shipper", None)
    yield
    trail.stop(_SOON_SECONDS)


def _actions() -> list[str]:
    return sorted(AuditEvent.objects.values_list("action", flat=True))


@pytest.mark.usefixtures("own_trail")
def test_finished_request_of_the_data_plane_is_on_the_trail(make_record: MakeRecord) -> None:
    access.conclude(make_record(operation="from_data", ended=0.0))

    assert trail.flush(_SOON_SECONDS)
    assert _actions() == ["from_data"]


@pytest.mark.usefixtures("own_trail")
async def test_finished_request_of_the_control_plane_is_on_the_trail(
    spool: Spool, settings: Settings
) -> None:
    settings.AUDIT_SHIP_SECONDS = 0

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"made"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(_message: Any) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/api/v1/me", "headers": []}
    await access.recorded(application)(scope, receive, send)

    trail.stop(0)
    (line,) = [line for file in spool.claim() for line in file.lines]
    assert b'"plane":"control"' in line
    assert b'"status":201' in line


@pytest.mark.usefixtures("own_trail")
def test_nothing_is_begun_when_no_request_is_worth_an_event(
    make_record: MakeRecord, spool_directory: Path
) -> None:
    access.conclude(make_record(method="OPTIONS"))

    assert trail._spool is None
    assert not spool_directory.exists()


@pytest.mark.usefixtures("own_trail")
def test_earlier_events_are_shipped_when_the_process_starts(
    make_record: MakeRecord, spool_directory: Path
) -> None:
    spool_directory.mkdir()
    line = line_of(make_record(operation="left_behind"))
    (spool_directory / "1-1-left.jsonl").write_bytes(line)

    trail.start()

    wait_until(_actions)
    assert _actions() == ["left_behind"]


@pytest.mark.usefixtures("own_trail")
def test_everything_is_shipped_when_the_trail_is_stopped(
    make_record: MakeRecord, spool_directory: Path
) -> None:
    trail.keep(make_record(operation="last_word"))

    trail.stop(_SOON_SECONDS)

    assert _actions() == ["last_word"]
    assert list(spool_directory.glob("*.jsonl")) == []


@pytest.mark.usefixtures("own_trail")
def test_late_event_waits_for_the_next_start_when_the_trail_is_stopped(
    make_record: MakeRecord,
) -> None:
    trail.start()
    trail.stop(_SOON_SECONDS)

    trail.keep(make_record(operation="late"))
    assert not trail.flush(0)

    trail.start()
    assert trail.flush(_SOON_SECONDS)
    assert _actions() == ["late"]


@pytest.mark.usefixtures("own_trail")
def test_nothing_is_shipped_from_here_when_that_is_left_to_others(
    make_record: MakeRecord, settings: Settings, spool: Spool
) -> None:
    settings.AUDIT_SHIP_SECONDS = 0
    trail.keep(make_record(operation="for_others"))
    assert trail._shipper is None

    trail.stop()

    assert ship(spool) == 1


def test_forked_child_has_its_own_file_and_holds_none_of_its_parent(
    run_program: RunProgram, database_url: str, spool: Spool, spool_directory: Path
) -> None:
    parent = run_program(
        "forker",
        DATABASE_URL=database_url,
        AUDIT_SPOOL_DIR=str(spool_directory),
        AUDIT_SHIP_SECONDS="0",
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"shipped\n"
    requests = AuditEvent.objects.values_list("request_id", flat=True)
    assert list(requests) == ["child"]

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    # The child lives on, until its input ends with the test.
    assert ship(spool) == 1

    assert sorted(requests.all()) == ["child", "parent"]
