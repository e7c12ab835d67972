from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from structlog.testing import CapturingLogger

from gateway_core.audit import spool as spool_module
from gateway_core.audit.outcomes import LOST
from gateway_core.audit.spool import Spool
from tests.gateway_core.audit.numbered import numbered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_core.audit.conftest import RunProgram


def _lines(directory: Path) -> list[bytes]:
    files = sorted(directory.glob("*.jsonl"))
    return [line for file in files for line in file.read_bytes().splitlines(keepends=True)]


def _lost() -> float:
    return LOST._value.get()  # type: ignore[no-any-return]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    logger = CapturingLogger()
    monkeypatch.setattr(spool_module, "_log", logger)
    return logger.calls


def test_line_is_on_disk_when_append_returns(spool: Spool, spool_directory: Path) -> None:
    line = numbered(1)

    assert spool.append(line)

    assert _lines(spool_directory) == [line]


def test_files_are_readable_by_their_owner_only(spool: Spool, spool_directory: Path) -> None:
    spool.append(numbered(1))

    (file,) = spool_directory.iterdir()
    assert spool_directory.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_file_is_claimed_by_nobody_while_its_process_holds_it(
    spool: Spool, spool_directory: Path
) -> None:
    spool.append(numbered(1))
    other = Spool(spool_directory)
    assert list(other.claim()) == []

    spool.hand_over()

    assert len(list(other.claim())) == 1


def test_file_is_claimed_by_one_when_two_ask(spool: Spool, spool_directory: Path) -> None:
    spool.append(numbered(1))
    spool.hand_over()

    claims = [file.path for file in spool.claim() for _ in Spool(spool_directory).claim()]

    assert claims == []


def test_claims_oldest_first_when_there_are_several(spool: Spool) -> None:
    for number in range(5):
        spool.append(numbered(number))
        spool.hand_over()

    order = [orjson.loads(file.lines.read())["facts"]["number"] for file in spool.claim()]

    assert order == [0, 1, 2, 3, 4]


def test_loses_nothing_when_files_are_claimed_as_fast_as_they_are_begun(
    spool: Spool, spool_directory: Path
) -> None:
    events = 800
    arrived: list[bytes] = []
    is_over = threading.Event()

    def take_away() -> None:
        other = Spool(spool_directory)
        while True:
            is_last_round = is_over.is_set()
            for file in other.claim():
                arrived.extend(file.lines)
                file.path.unlink()
            if is_last_round:
                return

    taker = threading.Thread(target=take_away)
    taker.start()
    lines = [numbered(number) for number in range(events)]
    for line in lines:
        assert spool.append(line)
        spool.hand_over()
    is_over.set()
    taker.join()

    assert sorted(arrived) == sorted(lines)


def test_begins_another_file_when_one_is_full(spool_directory: Path) -> None:
    lines = [numbered(number) for number in range(10)]
    spool = Spool(spool_directory, max_file_bytes=3 * len(lines[0]))

    for line in lines:
        spool.append(line)

    assert len(list(spool_directory.iterdir())) == 4
    assert _lines(spool_directory) == lines


def test_loses_counts_and_logs_once_when_the_directory_cannot_be_made(
    tmp_path: Path, logged: list[Any]
) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "spool")
    before = _lost()

    kept = [spool.append(numbered(number)) for number in range(3)]

    assert kept == [False] * 3
    assert _lost() - before == 3
    assert [(call.method_name, call.args) for call in logged] == [
        ("error", ("audit events are being lost",))
    ]


def test_keeps_events_again_and_logs_again_when_the_directory_comes_and_goes(
    tmp_path: Path, logged: list[Any]
) -> None:
    obstacle = tmp_path / "spool"
    obstacle.touch()
    spool = Spool(obstacle)
    spool.append(numbered(0))
    obstacle.unlink()
    assert spool.append(numbered(1))
    assert len(_lines(obstacle)) == 1

    spool.hand_over()
    for file in obstacle.iterdir():
        file.unlink()
    obstacle.rmdir()
    obstacle.touch()
    spool.append(numbered(2))

    assert len(logged) == 2


def test_has_what_it_said_it_kept_and_no_part_of_a_line_when_space_ends(
    run_program: RunProgram, spool_directory: Path
) -> None:
    events = 200
    limit = 10 * len(numbered(100)) + 50

    said, _ = run_program("short_of_space", spool_directory, limit, events).communicate()

    kept = [int(line) for line in said.splitlines() if line.isdigit()]
    assert kept == [orjson.loads(line)["facts"]["number"] for line in _lines(spool_directory)]
    assert events * 0.8 < len(kept) < events


def test_yields_other_files_before_it_fails_when_one_cannot_be_opened(
    spool: Spool, spool_directory: Path
) -> None:
    spool.append(numbered(1))
    spool.hand_over()
    (spool_directory / "0.jsonl").mkdir()
    claims = spool.claim()

    assert orjson.loads(next(claims).lines.read())["facts"]["number"] == 1
    with pytest.raises(IsADirectoryError):
        next(claims)
