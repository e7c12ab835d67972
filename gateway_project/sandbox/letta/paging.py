"""Lists in the way of the real server: ``limit``, ``before``, ``after`` (ids) and ``order``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway_project.sandbox.letta.problems import InvalidError, not_one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import QueryParams

    from gateway_project.sandbox.letta.store import Row

# What ``after`` and ``before`` mean, which differs from list to list (all measured):
# position: further on, or further up, in the order of the list; listed: the other way round;
# time: newer, or older, whatever the order; after: as position, and ``before`` is ignored.
Cursors = Literal["position", "listed", "time", "after"]


def page(
    rows: Sequence[Row],
    query: QueryParams,
    *,
    limit: int = 50,
    order: str = "desc",
    cursors: Cursors = "position",
) -> list[Row]:
    """Return the asked-for part of ``rows``, which come oldest first.

    Args:
        rows: everything that the caller may see.
        query: the request's query.
        limit: the default number of rows of this list.
        order: the default order of this list; ``asc`` is oldest first.
        cursors: what ``after`` and ``before`` mean.
    """
    order = _order(query, order)
    after, before = query.get("after"), query.get("before")
    if cursors == "listed" or (cursors == "time" and order == "desc"):
        after, before = before, after
    elif cursors == "after":
        before = None
    ordered = list(rows) if order == "asc" else list(reversed(rows))
    start, end = _position(ordered, after), _position(ordered, before)
    kept = ordered[0 if start is None else start + 1 : end]
    return kept[: _limit(query, limit)]


def _order(query: QueryParams, default: str) -> str:
    if query.get("ascending") in {"true", "True", "1"}:
        return "asc"
    order = query.get("order", default)
    if order not in {"asc", "desc"}:
        raise not_one_of("'asc' or 'desc'", "query", "order", given=order)
    return order


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


def _position(rows: Sequence[Row], row_id: str | None) -> int | None:
    """Return the index of a cursor; an unknown one is ignored."""
    return next((i for i, row in enumerate(rows) if row["id"] == row_id), None)
