"""Reads exports, whatever their size, in little memory; no database is asked."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.audit.batches import Batch
from gateway_core.audit.exports.lines import (
    COLUMNS,
    About,
    Event,
    Unreadable,
    event_of_cells,
    event_of_json,
    sealed,
    thing_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from gateway_core.audit.exports.lines import Thing

_EVENT_LINE: Final = b'{"type":"event"'
_LONGEST_CELL: Final = 2**31 - 1


def read(file: TextIO) -> Iterator[Thing]:
    """Yield what an export tells, as ``verifying`` takes it; ``About`` first.

    Args:
        file: opened with ``newline=""``.

    Raises:
        Unreadable: it is no export, or not as it was written.
    """
    start = file.readline()
    if start.startswith(",".join(COLUMNS)):
        return _checked(_rows(file))
    return _checked(_lines(start, file))


def _lines(start: str, file: Iterable[str]) -> Iterator[Any]:
    yield _line(start)
    for line in file:
        yield _line(line)


def _line(text: str) -> Any:
    line = text.encode()
    if line.startswith(_EVENT_LINE):
        return event_of_json(line)
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise Unreadable(f"a line is not JSON: {text[:60]!r}") from exc
    # Nobody is to read something else in it than is verified: another of two equal names, say.
    if not isinstance(members, dict) or orjson.dumps(members) != line.rstrip(b"\n"):
        raise Unreadable(f"a line is not as it was written: {text[:60]!r}")
    return thing_of(members)


def _rows(file: TextIO) -> Iterator[Any]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        for cells in csv.reader(file, strict=True):
            if len(cells) != len(COLUMNS):
                raise Unreadable(f"a row has {len(cells)} cells instead of {len(COLUMNS)}")
            if cells[0] == "event":
                yield event_of_cells(cells)
            elif any(cells[1:-1]) or f'"type":"{cells[0]}"' not in cells[-1]:
                raise Unreadable(f"a row of type {cells[0]!r} is not as it was written")
            else:
                yield _line(cells[-1])
    except csv.Error as exc:
        raise Unreadable(f"a row is no CSV: {exc}") from exc


def _checked(things: Iterator[Any]) -> Iterator[Thing]:
    """Yield what was read, events as what was sealed of them."""
    about = next(things, None)
    if not isinstance(about, About):
        raise Unreadable("the first line does not say that this is an export")
    yield about
    sequence = None
    for thing in things:
        if isinstance(thing, About):
            raise Unreadable("there are two exports in it")
        if isinstance(thing, Batch):
            sequence = thing.sequence
        if not isinstance(thing, Event):
            yield thing
        elif thing.batch != sequence:
            raise Unreadable(f"event {thing.fields[0]} stands in batch {sequence}")
        else:
            yield sealed(thing)
