"""The spend log: a row for each call, and the ways to read it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.litellm.access import require_admin
from gateway_project.sandbox.litellm.bodies import page_of
from gateway_project.sandbox.litellm.problems import ProxyError

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row, State

_DEFAULT_PAGE: Final = 50
_MAX_PAGE: Final = 1000
_FORMATS: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
_NOTHING: Final = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def log(state: State, key: Row | None, *, call_id: str, **members: Any) -> None:
    """Log a call; by default a failed one that cost nothing.

    Args:
        key: row of the caller's key; None for the master key.
        call_id: what the call is filed under.
        members: of the row; ``request_id`` is its own id, for which a failed call's id does.
    """
    now = state.timestamp()
    row = {
        "api_key": key["token"] if key else "master",
        "user": (key or {}).get("user_id") or "",
        "end_user": "",
        "litellm_call_id": call_id,
        "session_id": str(uuid.uuid4()),
        "spend": 0.0,
        **_NOTHING,
        "startTime": now,
        "endTime": now,
        "status": "failure",
        **members,
    }
    row["request_id"] = members.get("request_id") or call_id
    row["metadata"] = {"status": row["status"], "litellm_call_id": call_id}
    state.record(row)


async def logs(request: Request) -> Response:
    """Return the calls of a user or key, or one call."""
    state, query = require_admin(request), request.query_params
    return JSONResponse([row for row in state.logs if _is_wanted(row, query)])


async def logs_by_page(request: Request) -> Response:
    """Return a page of the calls that began between two points in time, the newest first."""
    state, query = require_admin(request), request.query_params
    if "start_date" not in query or "end_date" not in query:
        raise ProxyError(400, "bad_request", "Start date and end date are required")
    since, until = _moment(query["start_date"]), _moment(query["end_date"])
    rows = [
        row
        for row in state.logs
        if _is_wanted(row, query) and since <= datetime.fromisoformat(row["startTime"]) <= until
    ]
    is_ascending = query.get("sort_order") == "asc"
    rows.sort(key=lambda row: row["startTime"], reverse=not is_ascending)
    page = page_of(request, rows, size_name="page_size", size=_DEFAULT_PAGE, max_size=_MAX_PAGE)
    return JSONResponse(
        {
            "data": page["rows"],
            "total": page["total"],
            "page": page["page"],
            "page_size": page["size"],
            "total_pages": page["pages"],
            "total_is_capped": False,
        }
    )


def _is_wanted(row: Row, query: Any) -> bool:
    members = {"user_id": "user", "api_key": "api_key"}
    if any(row[members[name]] != query[name] for name in members if name in query):
        return False
    return query.get("request_id") in {None, row["request_id"], row["litellm_call_id"]}


def _moment(text: str) -> datetime:
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ProxyError(400, "bad_request", f"Invalid date format: {text}")


ROUTES: Final = [Route("/spend/logs", logs), Route("/spend/logs/v2", logs_by_page)]
