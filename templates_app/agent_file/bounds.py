"""How much a document may be, and of what: I-JSON (RFC 7493) that PostgreSQL can hold.

Only that keeps its checksum wherever it goes: larger numbers and broken surrogates are changed or
refused by one JSON library or the other, and NUL by PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from templates_app.agent_file.faults import pointer_to
from templates_app.agent_file.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST: Final = 32
MOST_VALUES: Final = 20_000
LONGEST_NAME: Final = 256
LARGEST_NUMBER: Final = 2**53 - 1


def refuse_unwieldy(document: Any) -> None:
    """Stop at a document that is too much, in time by its number of values.

    Raises:
        Unreadable: it is too deep, has too many values, or one that can't be kept.
    """
    level: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    values = 0
    for _ in range(DEEPEST + 1):
        values += len(level)
        if values > MOST_VALUES:
            raise Unreadable(f"It has more than {MOST_VALUES} values.")
        for way, value in level:
            _refuse_unkept(value, way)
        level = [item for way, value in level for item in _items(value, way)]
        if not level:
            return
    raise too_deep()


def too_deep() -> Unreadable:
    """Return the error for a file that is nested deeper than any Agent File."""
    return Unreadable(f"It is nested more than {DEEPEST} levels deep.")


def _items(value: Any, way: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_name(name, way)
            yield (*way, name), item
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*way, index), item


def _refuse_name(name: str, way: tuple[str | int, ...]) -> None:
    if len(name) > LONGEST_NAME:
        raise Unreadable(
            f"A name has more than {LONGEST_NAME} characters.", pointer=pointer_to(way)
        )
    _refuse_unkept(name, way)


def _refuse_unkept(value: Any, way: tuple[str | int, ...]) -> None:
    if isinstance(value, str):
        if "\0" in value or not _is_unicode(value):
            raise Unreadable(
                "A text has a NUL or half of a surrogate pair.", pointer=pointer_to(way)
            )
    elif isinstance(value, int | float) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise Unreadable(
            f"A number is beyond {LARGEST_NUMBER}, where not every reader sees the same one.",
            pointer=pointer_to(way),
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
