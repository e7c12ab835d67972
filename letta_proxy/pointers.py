"""Places in a JSON document: JSON pointers in which ``*`` stands for each item of a list."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def places(document: Any, pattern: str) -> Iterator[tuple[Any, Any]]:
    """Yield container and key of every place that a pattern meets."""
    *way, last = _steps(pattern)
    holders = [document]
    for step in way:
        holders = [holder[key] for parent in holders for holder, key in _at(parent, step)]
    for holder in holders:
        yield from _at(holder, last)


def values(document: Any, pattern: str) -> list[Any]:
    """Return what stands at every place that a pattern meets."""
    return [holder[key] for holder, key in places(document, pattern)]


def _at(holder: Any, step: str) -> list[tuple[Any, Any]]:
    if step == "*":
        return [(holder, index) for index in range(len(holder))] if isinstance(holder, list) else []
    return [(holder, step)] if isinstance(holder, dict) and step in holder else []


@cache
def _steps(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("/")[1:])
