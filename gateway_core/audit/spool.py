"""Where events wait on the local disk until PostgreSQL has them.

Each process appends to a file of its own. An event is one ``write()`` to an ``O_APPEND`` file,
without buffering: when it returns, the line is in the kernel's page cache and survives whatever
happens to the process, ``kill -9`` included. It does not survive a crash of the machine within the
seconds until the kernel writes it out: an ``fsync`` per event would cost a thousand times more.

A file belongs to whoever holds its ``flock``, which the kernel lets go when that process ends. So
there is nothing to repair after a crash: a file that nobody holds is ready to be shipped, by any
process that can see the directory. A process hands over its own file in the same way, by closing
it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_core.audit.outcomes import LOST
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import BinaryIO

_log = get_logger("gateway.audit")
_SUFFIX: Final = ".jsonl"
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A file that nobody appends to any more, held by us while we read it."""

    path: Path
    lines: BinaryIO


class Spool:
    """One directory of event files, as one process sees it. Safe to use from several threads.

    Args:
        directory: made when missing, readable by this user only.
        max_file_bytes: after so many bytes a new file is begun.

    Attributes:
        directory: what lies there without the ending of event files is left alone.
    """

    def __init__(self, directory: Path, *, max_file_bytes: int = _MAX_FILE_BYTES) -> None:
        self.directory = directory
        self._max_file_bytes = max_file_bytes
        self._lock = threading.Lock()
        self._file: int | None = None
        self._size = 0
        self._is_losing = False

    def append(self, line: bytes) -> bool:
        """Write one line, newline included; say whether it is safe from this process's end.

        Never raises: what can't be written (full disk, no permission) is lost, counted and logged,
        because a request is worth more than its record.
        """
        with self._lock:
            try:
                self._write(line)
            except OSError as exc:
                self._lose(exc)
                return False
            if self._size >= self._max_file_bytes:
                self._close()
            self._is_losing = False
            return True

    def hand_over(self) -> None:
        """Let go of the file in use, so that it can be shipped; the next line begins another."""
        with self._lock:
            self._close()

    def abandon(self) -> None:
        """Leave the file in use to the parent process. For a forked child, before it appends."""
        self._lock = threading.Lock()
        self._close()

    def claim(self) -> Generator[SpoolFile]:
        """Yield each file that nobody holds, the oldest first, held until the next is asked for.

        Raises:
            OSError: a file can't be opened; only after all others have been yielded.
        """
        failure: OSError | None = None
        for path in sorted(self.directory.glob(f"*{_SUFFIX}")):
            try:
                lines = path.open("r+b")
            except FileNotFoundError:
                continue  # another process has shipped it meanwhile
            except OSError as exc:
                failure = exc
                continue
            with lines:
                if _take(lines.fileno()):
                    yield SpoolFile(path, lines)
        if failure is not None:
            raise failure

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self._file = self._begin_file()
            self._size = 0
        written = os.write(self._file, line)
        if written != len(line):
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _begin_file(self) -> int:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            name = f"{time.time_ns()}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file = os.open(self.directory / name, flags, mode=0o600)
            # Between the two calls another process may have claimed the file as abandoned.
            if _take(file):
                return file
            os.close(file)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lose(self, exc: OSError) -> None:
        LOST.inc()
        self._close()
        if not self._is_losing:
            _log.error("audit events are being lost", error=str(exc))
        self._is_losing = True


def _take(file: int) -> bool:
    """Hold a file; False when another process does, or did and has removed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file).st_nlink > 0
