"""Writes exports, whatever their size, in little memory."""

from __future__ import annotations

import csv
import os
import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from gateway_core.audit import chain, stored
from gateway_core.audit.exports.lines import COLUMNS, About, cells_of, json_line, line_of
from gateway_core.audit.leaves import leaf_of, month_of, text_of
from gateway_core.audit.stored import StoredEvent
from gateway_core.audit.verifying import Other

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from gateway_core.audit.batches import Batch
    from gateway_core.audit.stored import Filter, StoredHashes

FORMATS: Final = ("jsonl", "csv")


class Writer(Protocol):
    """Puts lines into a file of some format."""

    def event(self, event: StoredEvent) -> None:
        """Write an event."""

    def other(self, thing: About | Batch | Other | StoredHashes) -> None:
        """Write what is no event."""


class JsonWriter:
    """JSON lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def event(self, event: StoredEvent) -> None:
        """Write an event."""
        self._file.write(json_line(event).decode())

    def other(self, thing: About | Batch | Other | StoredHashes) -> None:
        """Write what is no event."""
        self._file.write(orjson.dumps(line_of(thing), option=orjson.OPT_APPEND_NEWLINE).decode())


class CsvWriter:
    """CSV, after RFC 4180."""

    def __init__(self, file: TextIO) -> None:
        self._rows = csv.writer(file)
        self._rows.writerow(COLUMNS)

    def event(self, event: StoredEvent) -> None:
        """Write an event."""
        self._rows.writerow(cells_of(event))

    def other(self, thing: About | Batch | Other | StoredHashes) -> None:
        """Write what is no event."""
        line = line_of(thing)
        empty = [""] * (len(COLUMNS) - 2)
        self._rows.writerow([line["type"], *empty, orjson.dumps(line).decode()])


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a file that is there, whole, when the block ends, and not at all when it fails."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def export(
    file: TextIO,
    *,
    kind: str,
    wanted: Filter | None,
    filters: dict[str, str],
    show: Callable[[int], None],
) -> tuple[int, About]:
    """Write what the database has; return how many events that was, and what the file says it is.

    Args:
        kind: one of ``FORMATS``.
        wanted: None for the whole chain.
        filters: how to tell people of that.
        show: told how many events have been written.
    """
    writer: Writer = CsvWriter(file) if kind == "csv" else JsonWriter(file)
    about = About(wanted is None, filters, text_of(datetime.now(UTC)), str(chain.head() or ""))
    writer.other(about)
    parts = stored.batches() if wanted is None else stored.batches_with(wanted)
    events = 0
    for part in parts:
        events += _write_part(writer, part, wanted)
        show(events)
    return events, about


def _write_part(writer: Writer, part: list[Batch], wanted: Filter | None) -> int:
    found = stored.sealed_by(part, wanted or stored.EVERYTHING)
    by_batch = {key: list(things) for key, things in groupby(found, attrgetter("batch"))}
    events = 0
    for batch in part:
        writer.other(batch)
        things = by_batch.get(batch.sequence, [])
        for thing in things if wanted is None else _without_unwanted(things):
            if isinstance(thing, StoredEvent):
                writer.event(thing)
                events += 1
            else:
                writer.other(thing)
    return events


def _without_unwanted(
    things: Iterable[StoredEvent | StoredHashes],
) -> Iterator[StoredEvent | Other]:
    """Yield the wanted events of a batch, and of the others of their months the leaves."""
    for month, of_month in groupby(things, lambda thing: month_of(thing.event_id)):
        both = list(of_month)
        if not any(_is_wanted(thing) for thing in both):
            continue
        for thing in both:
            if isinstance(thing, StoredEvent) and thing.is_wanted:
                yield thing
            else:
                hashes = thing.sealed()
                yield Other(month, leaf_of(hashes.content, hashes.replaces))


def _is_wanted(thing: StoredEvent | StoredHashes) -> bool:
    return isinstance(thing, StoredEvent) and thing.is_wanted
