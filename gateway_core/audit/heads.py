"""The heads of the chain that this host keeps: out of reach for whoever has the database only.

They lie beside the spool, the oldest first. Every process that ships adds to them, and replicas
keep files of their own: all of these are heads of the one chain, and any of them proves it up to
its newest.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway_core.audit.batches import Head
from gateway_core.audit.leaves import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

_NAME: Final = "heads"
# So many of the newest are kept, which is most of a day, and of each day before the first one: who
# cuts the chain off has the gateway go on from there, with other batches of the same numbers.
_NEWEST: Final = 1000
_DAYS: Final = 2000
_DAY_CHARACTERS: Final = len("2026-11-23")
# What was kept twice, by several processes, counts twice until then.
_THINNED_FROM_BYTES: Final = 400_000


class Heads:
    """The file of heads in a directory.

    Attributes:
        path: of it; a line is a time and a head.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / _NAME

    def keep(self, head: Head, at: datetime) -> None:
        """Add a head.

        Raises:
            OSError: it can't be written.
        """
        with self._held() as file:
            os.write(file, f"{text_of(at)} {head}\n".encode())
            if os.fstat(file).st_size > _THINNED_FROM_BYTES:
                self._thin()

    def read(self) -> list[Head]:
        """Return what was kept, nothing where there is no file.

        Raises:
            OSError: it can't be read.
        """
        return [head for _, head in self._lines()]

    def _lines(self) -> list[tuple[str, Head]]:
        try:
            text = self.path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return []
        lines = [_parsed(line) for line in text.splitlines()]
        return [line for line in lines if line is not None]

    def _thin(self) -> None:
        firsts: dict[Head, str] = {}
        for at, head in self._lines():
            firsts.setdefault(head, at)
        lines = [(at, head) for head, at in firsts.items()]
        days: dict[str, tuple[str, Head]] = {}
        for line in lines[:-_NEWEST]:
            days.setdefault(line[0][:_DAY_CHARACTERS], line)
        kept = [*days.values()][-_DAYS:] + lines[-_NEWEST:]
        part = self.path.with_suffix(".part")
        part.write_text("".join(f"{at} {head}\n" for at, head in kept), encoding="ascii")
        part.replace(self.path)

    @contextmanager
    def _held(self) -> Iterator[int]:
        """Open the file to append, which nobody else does for the block."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self.path, flags, mode=0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file).st_nlink:  # or another process has put a shorter one in its place
                    yield file
                    return
            finally:
                os.close(file)


def _parsed(line: str) -> tuple[str, Head] | None:
    """Read a line; None for one that its process was killed in the middle of."""
    at, _, head = line.partition(" ")
    try:
        return at, Head.parse(head)
    except ValueError:
        return None
