from __future__ import annotations

import os
import secrets
import select
import time
from typing import TYPE_CHECKING

import pytest

from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship
from tests.gateway_core.audit.numbered import numbered

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from gateway_core.audit.spool import Spool
    from tests.gateway_core.audit.conftest import RunProgram

_SPAN_MICROSECONDS = 60_000


def _kill_at_some_moment(writer: subprocess.Popen[bytes]) -> list[int]:
    """Return the numbers that the writer said were kept before it was killed."""
    assert writer.stdout is not None
    output = writer.stdout.fileno()
    said = os.read(output, 65536)
    end = time.monotonic() + secrets.randbelow(_SPAN_MICROSECONDS) / 1e6
    while (left := end - time.monotonic()) > 0:
        if select.select([output], [], [], left)[0]:
            said += os.read(output, 65536)
    writer.kill()
    writer.wait()
    while rest := os.read(output, 65536):
        said += rest
    return [int(line) for line in said[: said.rfind(b"\n") + 1].split()]


def _stored(writer: str) -> list[int]:
    events = AuditEvent.objects.filter(facts__writer=writer)
    return sorted(events.values_list("facts__number", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize("attempt", range(4))
def test_stores_each_acknowledged_event_once_when_the_writer_is_killed(
    attempt: int, run_program: RunProgram, spool: Spool, spool_directory: Path
) -> None:
    name = f"writer {attempt}"

    kept = _kill_at_some_moment(run_program("writer", spool_directory, name))
    ship(spool)
    ship(spool)

    stored = _stored(name)
    # The last one may have been kept without a word of it getting out.
    assert stored in (kept, [*kept, len(kept)])
    assert list(spool_directory.glob("*.jsonl")) == []


@pytest.mark.django_db
def test_drops_a_torn_end_and_nothing_else_when_a_file_is_orphaned(
    spool: Spool, spool_directory: Path
) -> None:
    torn = numbered(2, writer="torn")
    spool_directory.mkdir()
    (spool_directory / "1.jsonl").write_bytes(
        numbered(0, writer="torn") + numbered(1, writer="torn") + torn[: len(torn) // 2]
    )

    ship(spool)

    assert _stored("torn") == [0, 1]
    assert list(spool_directory.glob("*.jsonl")) == []


@pytest.mark.django_db
def test_keeps_a_whole_last_line_when_only_its_newline_is_missing(
    spool: Spool, spool_directory: Path
) -> None:
    spool_directory.mkdir()
    (spool_directory / "1.jsonl").write_bytes(numbered(0, writer="whole").rstrip(b"\n"))

    ship(spool)

    assert _stored("whole") == [0]
