"""The form of an export: what stands in its lines, and how they are read again.

An export holds what ``verifying`` wants to see, in that order: the first line says what it is, each
batch is followed by what it has sealed. JSON lines have a ``type``; of CSV only the events are in
columns, what else there is stands as JSON in the column ``proof``. What an event says is written as
PostgreSQL has told it, for that is what was hashed.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.audit.batches import Batch
from gateway_core.audit.leaves import FIELDS, NULLABLE, NUMBERS, content_of
from gateway_core.audit.verifying import Other, Sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_core.audit.stored import StoredEvent, StoredHashes

VERSION: Final = 1
COLUMNS: Final = ("type", "batch", *FIELDS, "proof")

_FACTS: Final = b',"facts":'
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?").fullmatch
# What spreadsheets take for a formula, and the mark that keeps them from it (OWASP, CSV injection).
_FORMULA: Final = tuple("=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20")
_MARK: Final = "'"


class Unreadable(ValueError):
    """A line is not as an export's lines are."""


@dataclass(frozen=True, slots=True)
class About:
    """The first line: what the export is.

    Attributes:
        is_complete: it has the whole chain; otherwise the events that the filters wanted.
    """

    is_complete: bool
    filters: dict[str, str] = field(default_factory=dict)
    made_at: str = ""
    head: str = ""


Thing = About | Batch | Sealed | Other


@dataclass(frozen=True, slots=True)
class Event:
    """A line about an event."""

    batch: int
    fields: tuple[str | None, ...]
    salt: bytes
    replaces: bytes


def line_of(thing: About | Batch | Other | StoredHashes) -> dict[str, Any]:
    """Return the members of a line that is about no event."""
    if isinstance(thing, About):
        return {"type": "export", "version": VERSION, **asdict(thing)}
    if isinstance(thing, Batch):
        return {"type": "batch", **asdict(thing)}
    if isinstance(thing, Other):
        return {"type": "other", "month": thing.month, "leaf": thing.leaf.hex()}
    return {
        "type": "withdrawn",
        "id": thing.event_id,
        "content": thing.content.hex(),
        "replaces": thing.replaces.hex(),
    }


def thing_of(line: dict[str, Any]) -> Thing:
    """Return what such a line tells.

    Raises:
        Unreadable: nothing.
    """
    members = dict(line)
    kind = members.pop("type", None)
    try:
        if kind == "export":
            if members.pop("version") != VERSION:
                raise Unreadable("the export has a version that is not known here")
            return _about(members)
        if kind == "batch":
            return _batch(members)
        if kind == "other":
            month, leaf = members.values()
            return Other(month, bytes.fromhex(leaf))
        if kind == "withdrawn":
            event_id, content, replaces = members.values()
            hashes = bytes.fromhex(content), bytes.fromhex(replaces)
            return Sealed(_checked_id(event_id), *hashes, is_withdrawn=True)
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise Unreadable(f"a line of type {kind!r} can't be read: {exc}") from exc
    raise Unreadable(f"a line has the type {kind!r}")


def json_line(event: StoredEvent | Event) -> bytes:
    """Return the JSON line of an event; its facts are the last member."""
    values = dict(zip(FIELDS, event.fields, strict=True))
    facts = values.pop("facts") or "null"
    members: dict[str, Any] = {
        "type": "event",
        "batch": event.batch,
        "salt": event.salt.hex(),
        "replaces": event.replaces.hex(),
    }
    for name, text in values.items():
        is_number = text is not None and name in NUMBERS and _NUMBER(text)
        members[name] = orjson.Fragment(text) if is_number and text else text
    return orjson.dumps(members)[:-1] + _FACTS + facts.encode() + b"}\n"


def event_of_json(line: bytes) -> Event:
    """Return the event of such a line, and nothing but what stands there.

    Raises:
        Unreadable: the line is another than the one that would be written of it.
    """
    # No text in JSON holds a bare quotation mark, so this is where the member begins.
    head, _, facts = line.partition(_FACTS)
    try:
        members = json.loads(head + b"}", parse_int=str, parse_float=str, parse_constant=str)
        fields = tuple(members.get(name) for name in FIELDS[:-1])
        event = Event(
            int(members["batch"]),
            (*fields, facts.removesuffix(b"}\n").decode()),
            bytes.fromhex(members["salt"]),
            bytes.fromhex(members["replaces"]),
        )
        _checked_id(fields[0])
        is_same = json_line(event) == line
    except (TypeError, KeyError, ValueError, AttributeError, orjson.JSONEncodeError) as exc:
        raise Unreadable(f"the line of an event can't be read: {exc}") from exc
    if not is_same:
        raise Unreadable(f"the line of event {fields[0]} is not as it was written")
    return event


def cells_of(event: StoredEvent | Event) -> list[str]:
    """Return the cells of an event, none of which a spreadsheet takes for a formula."""
    proof = {"salt": event.salt.hex(), "replaces": event.replaces.hex()}
    texts = ("" if text is None else text for text in event.fields)
    return [*("event", str(event.batch)), *map(_harmless, texts), json.dumps(proof)]


def event_of_cells(cells: Sequence[str]) -> Event:
    """Return the event of a row.

    Raises:
        Unreadable: the row is another than the one that would be written of it.
    """
    try:
        _, batch, *texts, proof = cells
        fields = tuple(
            None if not text and name in NULLABLE else _as_it_was(text)
            for name, text in zip(FIELDS, texts, strict=True)
        )
        members = json.loads(proof)
        salt, replaces = (bytes.fromhex(members[name]) for name in ("salt", "replaces"))
        event = Event(int(batch), fields, salt, replaces)
        _checked_id(fields[0])
    except (TypeError, KeyError, ValueError) as exc:
        raise Unreadable(f"the row of an event can't be read: {exc}") from exc
    if cells_of(event) != list(cells):
        raise Unreadable(f"the row of event {fields[0]} is not as it was written")
    return event


def sealed(event: Event) -> Sealed:
    """Return what was sealed of an event."""
    return Sealed(event.fields[0] or "", content_of(event.fields, event.salt), event.replaces)


def _about(members: dict[str, Any]) -> About:
    about = About(**members)
    if not (isinstance(about.is_complete, bool) and isinstance(about.head, str)):
        raise TypeError("its members are of other types")
    return about


def _batch(members: dict[str, Any]) -> Batch:
    batch = Batch(**members)
    is_whole = all(isinstance(number, int) for number in (batch.sequence, batch.events))
    if not (is_whole and isinstance(batch.digests, dict) and isinstance(batch.notes, dict)):
        raise TypeError("its members are of other types")
    return batch


def _checked_id(text: str | None) -> str:
    if not text or not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise ValueError("it has no id")
    return text


def _harmless(text: str) -> str:
    return _MARK + text if text.startswith(_FORMULA) else text


def _as_it_was(text: str) -> str:
    return text.removeprefix(_MARK)
