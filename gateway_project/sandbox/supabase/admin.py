"""The routes of the service key: users listed, made, changed, banned and deleted."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.supabase.answers import (
    AuthError,
    body_of,
    check_new_password,
    require_admin,
)

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.supabase.state import Record, State

_UNITS: Final = {"h": "hours", "m": "minutes", "s": "seconds"}
_DEFAULT_PAGE: Final = 50


def routes(prefix: str) -> list[Route]:
    """Return the routes under ``prefix``."""
    users, user = f"{prefix}/admin/users", f"{prefix}/admin/users/{{user_id}}"
    return [
        Route(users, list_users, methods=["GET"]),
        Route(users, create_user, methods=["POST"]),
        Route(user, show_user, methods=["GET"]),
        Route(user, change_user, methods=["PUT"]),
        Route(user, delete_user, methods=["DELETE"]),
    ]


async def list_users(request: Request) -> Response:
    """Return one page of users, the newest first, with the count and the links of the API.

    ``filter`` is any part of the address, in its case, or of the full name, in any.
    """
    users = list(reversed(require_admin(request).users.values()))
    if part := request.query_params.get("filter"):
        users = [user for user in users if _matches(user, part)]
    page = int(request.query_params.get("page") or 1)
    size = int(request.query_params.get("per_page") or _DEFAULT_PAGE)
    last = max(1, -(-len(users) // size))
    links = [f'</admin/users?page={last}&per_page={size}>; rel="last"']
    if page < last:
        links.insert(0, f'</admin/users?page={page + 1}&per_page={size}>; rel="next"')
    shown = [{**user, "identities": None} for user in users[(page - 1) * size : page * size]]
    headers = {"x-total-count": str(len(users)), "link": ", ".join(links)}
    return JSONResponse({"users": shown, "aud": "authenticated"}, headers=headers)


async def create_user(request: Request) -> Response:
    """Make a user."""
    state, body = require_admin(request), await body_of(request)
    email = body.get("email") or ""
    if not email:
        text = "Cannot create a user without either an email or phone"
        raise AuthError(400, "validation_failed", text)
    if state.find_user(email):
        text = "A user with this email address has already been registered"
        raise AuthError(422, "email_exists", text)
    if password := body.get("password") or "":
        check_new_password(password)
    metadata = {"email_verified": True} | (body.get("user_metadata") or {})
    kept = {name: body.get(name) for name in ("id", "app_metadata")}
    return JSONResponse(state.add_user(email, password, user_metadata=metadata, **kept))


async def show_user(request: Request) -> Response:
    """Return one user."""
    return JSONResponse(_user(require_admin(request), request))


async def change_user(request: Request) -> Response:
    """Change a user; metadata is merged, ``ban_duration`` is like ``24h`` or ``none``."""
    state, body = require_admin(request), await body_of(request)
    user = _user(state, request)
    if password := body.get("password"):
        check_new_password(password)
        state.set_password(user["id"], password)
    if duration := body.get("ban_duration"):
        _ban(state, user, duration)
    for name in ("app_metadata", "user_metadata"):
        merged = user[name] | (body.get(name) or {})
        user[name] = {key: value for key, value in merged.items() if value is not None}
    for name in ("email", "role", "phone"):
        user[name] = body.get(name, user[name])
    user["updated_at"] = state.timestamp()
    return JSONResponse(user)


async def delete_user(request: Request) -> Response:
    """Delete a user and all of the user's sessions; softly, an unrecognisable row stays."""
    state, body = require_admin(request), await body_of(request)
    user = _user(state, request)
    if not body.get("should_soft_delete"):
        state.remove_user(user["id"])
    elif not user.get("deleted_at"):
        digest = hashlib.sha256(f"{user['id']}{user['email']}".encode()).digest()
        user["email"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        user |= {"user_metadata": {}, "app_metadata": {}, "deleted_at": state.timestamp()}
        user["identities"] = [
            one | {"identity_data": {}, "email": ""} for one in user["identities"]
        ]
        state.end_sessions(user["id"])
    return JSONResponse({})


def _matches(user: Record, part: str) -> bool:
    name = str(user["user_metadata"].get("full_name", ""))
    return part in user["email"] or part.lower() in name.lower()


def _user(state: State, request: Request) -> Record:
    try:
        user_id = str(uuid.UUID(request.path_params["user_id"]))
    except ValueError as exc:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from exc
    if user_id not in state.users:
        raise AuthError(404, "user_not_found", "User not found")
    return state.users[user_id]


def _ban(state: State, user: Record, duration: str) -> None:
    if duration == "none":
        user.pop("banned_until", None)
        return
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", duration)
    if "".join(map("".join, parts)) != duration:
        text = "invalid format for ban duration: time: invalid duration"
        raise AuthError(400, "validation_failed", text)
    length = timedelta(**{_UNITS[unit]: float(number) for number, unit in parts})
    until = datetime.fromtimestamp(state.now(), UTC) + length
    user["banned_until"] = until.isoformat().replace("+00:00", "Z")
