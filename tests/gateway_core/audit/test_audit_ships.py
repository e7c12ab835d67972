from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import Shipper, ship
from tests.gateway_core.audit.numbered import numbered
from tests.timing import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gateway_core.audit.spool import Spool
    from tests.gateway_core.audit.conftest import RunProgram

_SOON_SECONDS = 30


def _append(spool: Spool, numbers: range, **options: int) -> None:
    for number in numbers:
        assert spool.append(numbered(number, writer="ships", **options))


def _stored() -> list[int]:
    events = AuditEvent.objects.filter(facts__writer="ships")
    return sorted(events.values_list("facts__number", flat=True))


@pytest.fixture
def shipper(spool: Spool, transactional_db: None) -> Iterator[Shipper]:
    del transactional_db
    shipper = Shipper(spool, interval_seconds=0.02)
    yield shipper
    shipper.stop(_SOON_SECONDS)


@pytest.mark.django_db
def test_ships_everything_and_removes_the_files_when_there_are_many_batches(
    spool: Spool, spool_directory: Path
) -> None:
    _append(spool, range(1234))
    spool.hand_over()

    assert ship(spool) == 1234

    assert _stored() == list(range(1234))
    assert list(spool_directory.glob("*.jsonl")) == []


@pytest.mark.django_db
def test_stores_nothing_twice_when_a_file_is_replayed(spool: Spool, spool_directory: Path) -> None:
    _append(spool, range(10))
    spool.hand_over()
    (file,) = spool_directory.iterdir()
    content = file.read_bytes()
    ship(spool)

    # A shipper that died before it could remove the file, and one more event after that.
    file.write_bytes(content + numbered(10, writer="ships"))

    assert ship(spool) == 1
    assert _stored() == list(range(11))


def test_one_file_goes_to_one_process_when_two_adopt_at_once(
    run_program: RunProgram, spool: Spool, spool_directory: Path, database_url: str
) -> None:
    _append(spool, range(5000))
    spool.hand_over()
    adopters = [run_program("adopter", spool_directory, DATABASE_URL=database_url) for _ in "12"]
    for adopter in adopters:
        assert adopter.stdout is not None
        assert adopter.stdout.readline() == b"ready\n"

    for adopter in adopters:
        assert adopter.stdin is not None
        adopter.stdin.write(b"go\n")
        adopter.stdin.flush()
    claimed = [int(adopter.communicate(timeout=_SOON_SECONDS)[0]) for adopter in adopters]

    assert sorted(claimed) == [0, 1]
    assert _stored() == list(range(5000))


def test_ships_what_earlier_processes_left_when_it_starts(
    shipper: Shipper, spool_directory: Path
) -> None:
    spool_directory.mkdir()
    (spool_directory / "0-1-left.jsonl").write_bytes(numbered(0, writer="ships"))

    shipper.start()

    assert shipper.flush(_SOON_SECONDS)
    assert _stored() == [0]


def test_ships_without_being_asked_when_events_come(shipper: Shipper, spool: Spool) -> None:
    shipper.start()
    assert shipper.flush(_SOON_SECONDS)

    _append(spool, range(3))

    wait_until(lambda: _stored() == [0, 1, 2])


def test_has_shipped_all_of_it_when_stop_returns(shipper: Shipper, spool: Spool) -> None:
    shipper.start()
    _append(spool, range(700))

    shipper.stop(_SOON_SECONDS)

    assert _stored() == list(range(700))


def test_loses_nothing_when_the_database_goes_and_comes_back(
    shipper: Shipper,
    spool: Spool,
    spool_directory: Path,
    database_down: Callable[[], AbstractContextManager[None]],
) -> None:
    shipper.start()
    _append(spool, range(100))
    assert shipper.flush(_SOON_SECONDS)

    with database_down():
        _append(spool, range(100, 200))
        assert not shipper.flush(0.3)
        _append(spool, range(200, 300))
        assert list(spool_directory.glob("*.jsonl")) != []

    assert shipper.flush(_SOON_SECONDS)
    assert _stored() == list(range(300))
    assert list(spool_directory.glob("*.jsonl")) == []


def test_gives_up_waiting_and_leaves_the_file_when_stopped_while_the_database_is_down(
    shipper: Shipper,
    spool: Spool,
    spool_directory: Path,
    database_down: Callable[[], AbstractContextManager[None]],
) -> None:
    shipper.start()
    assert shipper.flush(_SOON_SECONDS)
    with database_down():
        _append(spool, range(3))
        began = time.monotonic()
        shipper.stop(0.2)
        assert time.monotonic() - began < 2

        assert list(spool_directory.glob("*.jsonl")) != []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "bad",
    [
        b"no json\n",
        b"[1, 2]\n",
        b"\xff\xfe\n",
        numbered(1).replace(b'"plane":"data"', b'"plane":null'),
        numbered(1).replace(b'"bytes_in":0', b'"bytes_in":"many"'),
    ],
    ids=["not JSON", "not an object", "not UTF-8", "no plane", "not a number"],
)
def test_sets_one_bad_line_aside_and_ships_the_rest(
    bad: bytes, spool: Spool, spool_directory: Path
) -> None:
    _append(spool, range(20))
    spool.append(bad)
    _append(spool, range(20, 40))
    spool.hand_over()

    ship(spool)

    assert _stored() == list(range(40))
    (rejected,) = spool_directory.iterdir()
    assert (rejected.suffix, rejected.read_bytes()) == (".rejected", bad)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("nul \0 inside", "nul \ufffd inside"),
        ("\\\0", "\\\ufffd"),
        ("written out: \\u0000", "written out: \\u0000"),
    ],
)
def test_stores_text_that_postgres_cannot_hold(text: str, stored: str, spool: Spool) -> None:
    event = orjson.loads(numbered(1, writer="ships"))
    spool.append(orjson.dumps(event | {"path": text}) + b"\n")
    spool.hand_over()

    assert ship(spool) == 1
    assert AuditEvent.objects.get(facts__writer="ships").path == stored
