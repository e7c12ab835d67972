"""Carries events from the spool to PostgreSQL, in a thread beside the process's requests."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

import orjson
from django.db import DatabaseError, DataError, IntegrityError, connection

from gateway_core.audit import chain, months
from gateway_core.audit.heads import Heads
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.outcomes import REJECTED, STORED
from gateway_core.audit.sealing import seal_changes
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway_core.audit.batches import Head
    from gateway_core.audit.spool import Spool, SpoolFile

_log = get_logger("gateway.audit")
_BATCH_LINES: Final = 500
_LONGEST_PAUSE_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.2
_SECONDS_BETWEEN_HEADS: Final = 60.0
_SECONDS_BETWEEN_LOOKS_AHEAD: Final = 3600.0


class Shipper:
    """Ships what is in a spool every so often, until it is stopped.

    A file is removed once all of its events are in the database. A shipper that dies before that
    leaves the file to the next one, and the events' own ids keep them from being stored twice.

    Args:
        spool: may be shared by any number of processes.
        interval_seconds: between two rounds, while the database answers.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._heads = Heads(spool.directory)
        self._clock = clock
        self._announced: Head | None = None
        self._announce_at = self._look_ahead_at = float("-inf")
        self._interval_seconds = interval_seconds
        self._thread = threading.Thread(target=self._run, name="audit-shipper", daemon=True)
        self._wake = threading.Event()
        self._turn = threading.Condition()
        self._begun = 0
        self._done = 0
        self._is_stopping = False
        self._is_failing = False

    def start(self) -> None:
        """Begin, with what earlier processes have left."""
        self._thread.start()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until what has been appended so far is shipped; say whether it is.

        Another process may have claimed it at the same time; then it is with that one.
        """
        with self._turn:
            # The round that is under way may have passed the newest events by.
            goal = self._begun + 1
            self._wake.set()
            return self._turn.wait_for(lambda: self._done >= goal, timeout_seconds)

    def stop(self, timeout_seconds: float) -> None:
        """Ship once more and end. What does not get there in time stays in the spool."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        pause = 0.0
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            is_last = self._is_stopping
            is_done = self._ship_round()
            if is_last:
                self._announce()
                return
            longer = min(max(pause * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            pause = self._interval_seconds if is_done else longer

    def _ship_round(self) -> bool:
        with self._turn:
            self._begun += 1
            number = self._begun
        try:
            self._spool.hand_over()
            ship(self._spool)
            seal_changes()
            self._upkeep()
        except Exception as exc:  # noqa: BLE001 - the outermost handler of the thread
            if not self._is_failing:
                _log.warning("audit events wait in the spool", error=str(exc))
            self._is_failing = True
            return False
        finally:
            connection.close()
        if self._is_failing:
            _log.info("audit events are shipped again")
        self._is_failing = False
        with self._turn:
            self._done = number
            self._turn.notify_all()
        return True

    def _upkeep(self) -> None:
        """Say now and then where the chain ends, and have a partition for the month to come."""
        now = self._clock()
        if now >= self._announce_at:
            self._announce_at = now + _SECONDS_BETWEEN_HEADS
            self._announce()
        if now >= self._look_ahead_at:
            self._look_ahead_at = now + _SECONDS_BETWEEN_LOOKS_AHEAD
            _make_months()

    def _announce(self) -> None:
        """Keep the head, and tell the log of it, to know when the chain was cut before it."""
        try:
            head = chain.head()
        except DatabaseError:
            return
        finally:
            connection.close()
        if head is not None and head != self._announced:
            self._announced = head
            _log.info("audit head", head=str(head))
            try:
                self._heads.keep(head, datetime.now(UTC))
            except OSError as exc:
                _log.warning("the audit head could not be kept", error=str(exc))


def _make_months() -> None:
    """Make partitions; without them events fall into the default one, so it can wait."""
    try:
        months.make_ahead(datetime.now(UTC))
    except DatabaseError as exc:
        _log.warning("no partition made for the months to come", error=str(exc))


def ship(spool: Spool) -> int:
    """Ship every file that nobody holds; return how many events are new in the database.

    Raises:
        DatabaseError, InterfaceError: PostgreSQL does not take events now.
        OSError: the spool can't be read.
    """
    # Closed here and now: a failure's traceback would keep the generator, and so the file, held.
    with closing(spool.claim()) as files:
        return sum(_ship_file(file) for file in files)


def _ship_file(file: SpoolFile) -> int:
    lines = _whole_lines(file)
    stored = 0
    rejected: list[bytes] = []
    while batch := list(islice(lines, _BATCH_LINES)):
        stored += _store(batch, rejected)
    if rejected:
        _set_aside(file, rejected)
    file.path.unlink()
    STORED.inc(stored)
    return stored


def _whole_lines(file: SpoolFile) -> Iterator[bytes]:
    """Yield all lines but a last one that its process was killed in the middle of."""
    for line in file.lines:
        if line.endswith(b"\n") or _is_json(line):
            yield line
        else:
            _log.info("dropped the torn end of a spool file", file=file.path.name)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _store(lines: list[bytes], rejected: list[bytes]) -> int:
    try:
        return AuditEvent.objects.store(lines)
    except (DataError, IntegrityError, UnicodeDecodeError) as exc:
        if len(lines) == 1:
            _log.error("an audit event can't be stored", error=str(exc))
            rejected.extend(lines)
            return 0
    # Halving finds the few bad lines without asking for each good one.
    middle = len(lines) // 2
    return _store(lines[:middle], rejected) + _store(lines[middle:], rejected)


def _set_aside(file: SpoolFile, rejected: list[bytes]) -> None:
    REJECTED.inc(len(rejected))
    file.path.with_suffix(".rejected").write_bytes(b"".join(rejected))
