"""Lists in the way of the real server: ``limit``, ``before``, ``after`` (ids) and ``order``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_project.sandbox.letta.problems import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import QueryParams

    from gateway_project.sandbox.letta.store import Row


def page(
    rows: Sequence[Row], query: QueryParams, *, limit: int = 50, order: str = "desc"
) -> list[Row]:
    """Return the asked-for part of ``rows``, which come oldest first.

    Args:
        rows: everything that the caller may see.
        query: the request's query.
        limit: the default number of rows of this list.
        order: the default order of this list; ``asc`` is oldest first.
    """
    ordered = list(rows) if _order(query, order) == "asc" else list(reversed(rows))
    after, before = query.get("after"), query.get("before")
    if after:
        ordered = ordered[_position(ordered, after) + 1 :]
    if before:
        ordered = ordered[: _position(ordered, before)]
    return ordered[: _limit(query, limit)]


def _order(query: QueryParams, default: str) -> str:
    if query.get("ascending") in {"true", "True", "1"}:
        return "asc"
    return query.get("order", default)


def _limit(query: QueryParams, default: int) -> int:
    text = query.get("limit", str(default))
    try:
        return int(text)
    except ValueError:
        fault = {
            "type": "int_parsing",
            "loc": ("query", "limit"),
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "input": text,
        }
        raise InvalidError([fault]) from None


def _position(rows: Sequence[Row], row_id: str) -> int:
    """Return the index of a cursor; an unknown one stands behind the last row."""
    return next((i for i, row in enumerate(rows) if row["id"] == row_id), len(rows))
