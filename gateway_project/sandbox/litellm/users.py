"""``/user/…``: who the budgets belong to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.litellm.access import require_admin
from gateway_project.sandbox.litellm.bodies import check_number, in_order, json_of, page_of
from gateway_project.sandbox.litellm.problems import DetailError, ProxyError

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row, State

_ROLES: Final = {"proxy_admin", "proxy_admin_viewer", "internal_user", "internal_user_viewer"}
_IDENTITY: Final = frozenset({"user_id", "created_at"})
_DEFAULT_PAGE: Final = 25


async def create(request: Request) -> Response:
    """Make a user and, unless told not to, a key."""
    state, wish = require_admin(request), await json_of(request)
    check_number(wish, "max_budget")
    if wish.get("user_role") not in {None, *_ROLES}:
        fault = {"type": "literal_error", "loc": ["body", "user_role"], "msg": "Input should be …"}
        raise DetailError(422, [fault])
    _refuse_known(state, wish)
    row = state.add_user(wish)
    answer = {**row, "key": "", "token": None, "expires": None}
    if wish.get("auto_create_key", True):
        answer["key"], key = state.add_key({"user_id": row["user_id"]})
        answer["key_name"] = key["key_name"]
    return JSONResponse(answer)


async def info(request: Request) -> Response:
    """Return a user with its keys; without an id all keys."""
    state = require_admin(request)
    user_id = request.query_params.get("user_id")
    if user_id is None:
        keys = [_as_listed(key) for key in state.live_keys()]
        body = {"user_id": "default_user_id", "user_info": None, "keys": keys, "teams": []}
        return JSONResponse(body)
    user = _user(state, user_id)
    keys = [_as_listed(key) for key in state.live_keys() if key["user_id"] == user_id]
    return JSONResponse({"user_id": user_id, "user_info": user, "keys": keys, "teams": []})


async def info_v2(request: Request) -> Response:
    """Return a user without its keys."""
    state = require_admin(request)
    return JSONResponse(_user(state, request.query_params.get("user_id", "")))


async def update(request: Request) -> Response:
    """Change a user found by id or address; a missing one is made, as on the real one."""
    state, wish = require_admin(request), await json_of(request)
    check_number(wish, "max_budget")
    user = state.users.get(wish.get("user_id", "")) or _by_email(state, wish.get("user_email"))
    if user is None:
        user = state.add_user(wish)
    if wish.get("models") == []:
        del wish["models"]  # an empty list changes nothing, and not by mistake here
    state.update(user, wish, identity=_IDENTITY)
    return JSONResponse({"user_id": user["user_id"], "data": user})


async def delete(request: Request) -> Response:
    """Delete users with their keys; answers with how many."""
    state, wish = require_admin(request), await json_of(request)
    user_ids = wish.get("user_ids") or []
    for user_id in user_ids:
        if user_id not in state.users:
            raise DetailError(404, {"error": f"User not found, passed user_id={user_id}"})
    for user_id in user_ids:
        del state.users[user_id]
        for key in state.live_keys():
            if key["user_id"] == user_id:
                state.delete_key(key)
    return JSONResponse(len(user_ids))


async def list_all(request: Request) -> Response:
    """Return a page of users; one id in ``user_ids`` matches by substring, as on the real one."""
    state, query = require_admin(request), request.query_params
    users = in_order(request, list(reversed(state.users.values())))
    if wanted := [part for part in query.get("user_ids", "").split(",") if part]:
        users = [user for user in users if _is_wanted(user, wanted)]
    if email := query.get("user_email"):
        users = [user for user in users if email in (user["user_email"] or "")]
    if role := query.get("role"):
        users = [user for user in users if user["user_role"] == role]
    page = page_of(request, users, size_name="page_size", size=_DEFAULT_PAGE)
    counts = Counter(key["user_id"] for key in state.live_keys())
    return JSONResponse(
        {
            "users": [{**user, "key_count": counts[user["user_id"]]} for user in page["rows"]],
            "total": page["total"],
            "page": page["page"],
            "page_size": page["size"],
            "total_pages": page["pages"],
        }
    )


def _refuse_known(state: State, wish: Row) -> None:
    user_id, email = wish.get("user_id"), wish.get("user_email")
    text = ""
    if user_id in state.users:
        text = f"User with id {user_id} already exists"
    elif _by_email(state, email):
        text = f"User with email {email} already exists"
    if text:
        raise ProxyError(409, "invalid_request_error", str({"error": text}))


def _user(state: State, user_id: str) -> Row:
    if user_id not in state.users:
        raise ProxyError(404, "invalid_request_error", f"User {user_id} not found")
    return state.users[user_id]


def _by_email(state: State, email: str | None) -> Row | None:
    users = state.users.values()
    return next((user for user in users if email and user["user_email"] == email), None)


def _is_wanted(user: Row, wanted: list[str]) -> bool:
    if len(wanted) == 1:
        return wanted[0] in user["user_id"]
    return user["user_id"] in wanted


def _as_listed(key: Row) -> Row:
    return {**key, "team_alias": "None"}


ROUTES: Final = [
    Route("/user/new", create, methods=["POST"]),
    Route("/user/info", info, methods=["GET"]),
    Route("/v2/user/info", info_v2, methods=["GET"]),
    Route("/user/update", update, methods=["POST"]),
    Route("/user/delete", delete, methods=["POST"]),
    Route("/user/list", list_all, methods=["GET"]),
]
