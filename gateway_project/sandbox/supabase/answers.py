"""Answers and errors in GoTrue's two dialects, and the checks that every route shares."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import jwt
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from gateway_project.sandbox.supabase.state import PUBLISHABLE_KEY, SECRET_KEY

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.supabase.state import Record, State

API_VERSION_HEADER: Final = "x-supabase-api-version"
_NEW_DIALECT: Final = "2024-01-01"
_MIN_PASSWORD_LENGTH: Final = 6


class AuthError(Exception):
    """An error answer of the API.

    Args:
        status: HTTP status.
        code: ``error_code``, as in GoTrue's errorcodes.
        message: text for people.
        extra: further members of the body.
    """

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = extra


def answer_error(request: Request, error: Exception) -> Response:
    """Return an ``AuthError`` in the dialect that the client asked for."""
    assert isinstance(error, AuthError)  # noqa: S101 - registered for this class only
    headers = {"x-sb-error-code": error.code}
    if request.headers.get(API_VERSION_HEADER, "") >= _NEW_DIALECT:
        headers[API_VERSION_HEADER] = _NEW_DIALECT
        body: Record = {"code": error.code, "message": error.message}
    else:
        body = {"code": error.status, "error_code": error.code, "msg": error.message}
    return JSONResponse(body | error.extra, error.status, headers=headers)


def state_of(request: Request) -> State:
    """Return the stand-in's state, after checking the API key as the platform's gateway does.

    Raises:
        HTTPException: 401 without a known key in ``apikey``.
    """
    state: State = request.app.state.state
    key = request.headers.get("apikey", "")
    if key not in {PUBLISHABLE_KEY, SECRET_KEY} and not _is_legacy_key(state, key):
        text = "Invalid API key" if key else "No API key found in request"
        raise HTTPException(401, text)
    if key == SECRET_KEY and "Mozilla/" in request.headers.get("user-agent", ""):
        raise HTTPException(401, "Forbidden use of secret API key in browser")
    return state


async def body_of(request: Request) -> Record:
    """Return the JSON object of a request's body, empty when there is none."""
    if not await request.body():
        return {}
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return body


def caller(request: Request) -> tuple[Record, str]:
    """Return the signed-in user and the session's id.

    Raises:
        AuthError: as GoTrue tells a missing, bad or stale token apart.
    """
    state = state_of(request)
    token = _bearer(request)
    try:
        claims = state.read(token)
    except jwt.InvalidTokenError as exc:
        message = f"invalid JWT: unable to parse or verify signature, {exc}"
        raise AuthError(403, "bad_jwt", message) from exc
    if not _is_uuid(claims.get("sub")):
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    user = state.users.get(claims["sub"])
    if user is None:
        raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
    if claims.get("session_id") not in state.sessions:
        text = "Session from session_id claim in JWT does not exist"
        raise AuthError(403, "session_not_found", text)
    if state.is_banned(user):
        raise AuthError(403, "user_banned", "User is banned")
    return user, claims["session_id"]


def require_admin(request: Request) -> State:
    """Return the state where the caller holds the service key.

    Raises:
        AuthError: 401 or 403 for everybody else.
    """
    state = state_of(request)
    token = _bearer(request)
    if token == SECRET_KEY:
        return state
    try:
        role = state.read(token).get("role")
    except jwt.InvalidTokenError as exc:
        raise AuthError(403, "bad_jwt", f"invalid JWT: {exc}") from exc
    if role not in {"service_role", "supabase_admin"}:
        raise AuthError(403, "not_admin", "User not allowed")
    return state


def check_new_password(password: str) -> None:
    """Raise for a password that is too short."""
    if len(password) < _MIN_PASSWORD_LENGTH:
        text = f"Password should be at least {_MIN_PASSWORD_LENGTH} characters."
        reasons = {"reasons": ["length"]}
        raise AuthError(422, "weak_password", text, weak_password=reasons)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    return token


def _is_legacy_key(state: State, key: str) -> bool:
    try:
        return state.read(key).get("role") in {"anon", "service_role"}
    except jwt.InvalidTokenError:
        return False


def _is_uuid(value: object) -> bool:
    try:
        return bool(uuid.UUID(str(value)))
    except ValueError:
        return False
