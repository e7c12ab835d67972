"""Reading requests: JSON objects, page numbers, and the ways to get them wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_project.sandbox.litellm.problems import DetailError, ProxyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row

_MAX_PAGE = 100


async def json_of(request: Request) -> Row:
    """Return the JSON object of a body.

    Raises:
        ProxyError: 400 when it is not one.
    """
    try:
        body = await request.json()
    except ValueError as exc:
        text = f"Invalid JSON payload: {exc}"
        kind = "invalid_request_error"
        raise ProxyError(400, kind, text, param="request_body") from exc
    if not isinstance(body, dict):
        raise DetailError(
            422, [_fault("dict_type", ["body"], "Input should be a valid dictionary")]
        )
    return body


def in_order(request: Request, rows: list[Any]) -> list[Any]:
    """Return rows by the member that the query names in ``sort_by``; as they are without one."""
    member = request.query_params.get("sort_by")
    if not member:
        return rows
    is_falling = request.query_params.get("sort_order") != "asc"
    return sorted(rows, key=lambda row: str(row[member]), reverse=is_falling)


def page_of(
    request: Request,
    rows: Sequence[Any],
    *,
    size_name: str,
    size: int,
    max_size: int = _MAX_PAGE,
) -> Row:
    """Return one page: ``{"rows", "total", "page", "size", "pages"}``.

    Raises:
        DetailError: 422 for a size over the greatest.
    """
    page = int(request.query_params.get("page") or 1)
    size = int(request.query_params.get(size_name) or size)
    if size > max_size:
        text = f"Input should be less than or equal to {max_size}"
        raise DetailError(422, [_fault("less_than_equal", ["query", size_name], text)])
    return {
        "rows": list(rows[(page - 1) * size : page * size]),
        "total": len(rows),
        "page": page,
        "size": size,
        "pages": -(-len(rows) // size),
    }


def check_number(body: Row, name: str) -> None:
    """Raise 422 when a member is there and is not a number."""
    value = body.get(name)
    try:
        float(value or 0)
    except (TypeError, ValueError) as exc:
        text = "Input should be a valid number, unable to parse string as a number"
        raise DetailError(422, [_fault("float_parsing", ["body", name], text)]) from exc


def missing(name: str) -> DetailError:
    """Return the 422 of a form without this field."""
    return DetailError(422, [_fault("missing", ["body", name], "Field required")])


def _fault(kind: str, place: list[str], message: str) -> Row:
    return {"type": kind, "loc": place, "msg": message}
