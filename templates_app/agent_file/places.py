"""Values at places of a document that may have any shape: what is not there is passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from templates_app.agent_file.faults import pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = TypeVar("Kind")


def values(document: Any, pattern: str, kind: type[Kind]) -> Iterator[tuple[str, Kind]]:
    """Yield pointer and value of each value of a kind at a pattern.

    Args:
        pattern: a JSON pointer in which ``*`` stands for each item of a list or object.
    """
    found: list[tuple[tuple[Any, ...], Any]] = [((), document)]
    for step in pattern.split("/")[1:]:
        found = [((*way, key), item) for way, holder in found for key, item in _at(holder, step)]
    for way, value in found:
        if isinstance(value, kind):
            yield pointer_to(way), value


def _at(holder: Any, step: str) -> list[tuple[Any, Any]]:
    if isinstance(holder, dict):
        if step == "*":
            return list(holder.items())
        return [(step, holder[step])] if step in holder else []
    if isinstance(holder, list) and step == "*":
        return list(enumerate(holder))
    return []


def one_value(document: Any, pattern: str, kind: type[Kind]) -> Kind | None:
    """Return the first value of a kind at a pattern, None when there is none."""
    return next((found for _, found in values(document, pattern, kind)), None)
