"""Who calls, and what is wrong: in the form of the contract, or in the first AMS's."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from gateway_project.sandbox.ams.state import Row, State


class ProblemError(Exception):
    """An error answer.

    Args:
        code: of the contract's vocabulary.
        errors: ``{"pointer", "message"}`` of each fault.
    """

    def __init__(self, status: int, code: str, detail: str, *, errors: Sequence[Row] = ()) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.errors = list(errors)
        super().__init__(detail)


def state_of(request: Request) -> State:
    """Return what the stand-in holds."""
    return cast("State", request.app.state.state)


def caller_of(request: Request) -> str:
    """Return the id of the user in whose name the call is.

    Raises:
        ProblemError: 401, the key is not ours; 400, no user is named.
    """
    require_key(request)
    user_id = request.headers.get("x-user-id", "")
    if not user_id:
        raise ProblemError(400, "malformed", "X-User-Id is missing")
    return user_id


def require_key(request: Request) -> None:
    """Refuse callers without the service's key.

    Raises:
        ProblemError: 401.
    """
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not secrets.compare_digest(given.encode(), request.app.state.api_key.encode()):
        raise ProblemError(401, "unauthorized", "Unauthorized")


def require_new(request: Request) -> None:
    """Refuse what the first AMS did not have.

    Raises:
        ProblemError: 404.
    """
    if state_of(request).is_old:
        raise ProblemError(404, "not_found", "Not found")


async def answer_problem(request: Request, exc: Exception) -> Response:
    """Return the error answer of a problem."""
    problem = cast("ProblemError", exc)
    body: dict[str, Any] = {"error": problem.detail}
    if problem.errors:
        body["details" if state_of(request).is_old else "errors"] = problem.errors
    if state_of(request).is_old:
        return JSONResponse(body, 400 if problem.status == 422 else problem.status)  # noqa: PLR2004
    body |= {
        "title": problem.detail,
        "detail": problem.detail,
        "status": problem.status,
        "code": problem.code,
        "request_id": request.headers.get("x-request-id", ""),
    }
    return JSONResponse(body, problem.status, media_type="application/problem+json")
