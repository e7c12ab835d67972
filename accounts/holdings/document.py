"""Files of an export, written as they come to be: one piece of one of them is in memory."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINES_IN_PIECE: Final = 100


class Document(NamedTuple):
    """A file of an export: its path in the ZIP, and its content, piece by piece."""

    path: str
    pieces: Iterable[bytes]


def json_document(path: str, value: Any) -> Document:
    """Return a file of one JSON value; what JSON has no form for is written as text."""
    return Document(path, (orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2),))


def lines_document(path: str, values: Iterable[Any]) -> Document:
    """Return a file with a line of JSON for each value; these are asked for while it is written."""
    return Document(path, _lines(values))


def _lines(values: Iterable[Any]) -> Iterator[bytes]:
    left = iter(values)
    while some := list(islice(left, _LINES_IN_PIECE)):
        yield b"".join(
            orjson.dumps(one, default=str, option=orjson.OPT_APPEND_NEWLINE) for one in some
        )
