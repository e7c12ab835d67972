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


def page(  # noqa: PLR0913 - the ways in which lists differ
    rows: Sequence[Row],
    query: QueryParams,
    *,
    limit: int = 50,
    order: str = "desc",
    cursors: Cursors = "position",
    among: Sequence[Row] = (),
) -> list[Row]:
    """Return the asked-for part of ``rows``, which come oldest first.

    Args:
        rows: everything that the caller may see.
        query: the request's query.
        limit: the default number of rows of this list.
        order: the default order of this list; ``asc`` is oldest first.
        cursors: what ``after`` and ``before`` mean.
        among: all organizations' rows, oldest first, where the real server looks a cursor up
            without asking whose it is. A page then tells when a foreign thing was made.
    """
    order = _order(query, order)
    after, before = query.get("after"), query.get("before")
    if cursors == "listed" or (cursors == "time" and order == "desc"):
        after, before = before, after
    elif cursors == "after":
        before = None
    ordered = list(rows) if order == "asc" else list(reversed(rows))
    _, start = _around(ordered, after, among, order) or (0, 0)
    end, _ = _around(ordered, before, among, order) or (len(ordered), 0)
    return ordered[start:end][: _limit(query, limit)]


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


def _around(
    rows: Sequence[Row], row_id: str | None, among: Sequence[Row], order: str
) -> tuple[int, int] | None:
    """Return where the rows before a cursor end and those after it begin; None for unknown ones."""
    index = next((i for i, row in enumerate(rows) if row["id"] == row_id), None)
    if index is not None:
        return index, index + 1
    ids = [row["id"] for row in among]
    if row_id not in ids:
        return None
    older = {*ids[: ids.index(row_id)]}.intersection(row["id"] for row in rows)
    split = len(older) if order == "asc" else len(rows) - len(older)
    return split, split
