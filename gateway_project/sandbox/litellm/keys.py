"""``/key/…``: virtual keys. The plain value is answered once, when a key is made."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.litellm.access import key_of, require_admin, state_of
from gateway_project.sandbox.litellm.bodies import check_number, in_order, json_of, page_of
from gateway_project.sandbox.litellm.problems import ProxyError
from gateway_project.sandbox.litellm.state import seconds_of, token_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row, State

_IDENTITY: Final = frozenset({"token", "key_name", "created_at", "created_by", "expires"})
_DEFAULT_PAGE: Final = 10
_NEVER: Final = "-1"


async def generate(request: Request) -> Response:
    """Make a key, with a value of the caller's own or a random one."""
    state, wish = require_admin(request), await json_of(request)
    _check_budget_field(wish)
    own = wish.get("key")
    if own and not own.startswith("sk-"):
        text = "Invalid key format. LiteLLM Virtual Key must start with 'sk-'. Received: "
        masked = f"{own[:4]}****{own[-4:]}"
        raise ProxyError(400, "invalid_request_error", str({"error": text + masked}))
    _check_alias(state, wish)
    value, row = state.add_key(wish)
    return JSONResponse({**row, "key": value, "token_id": row["token"]})


async def info(request: Request) -> Response:
    """Return a key by value or hash, or the caller's own; a deleted one is still answered."""
    state = state_of(request)
    asked = request.query_params.get("key")
    if asked is None:
        row = key_of(request)
        if row is None:
            raise _not_found("Key not found in database")
        return JSONResponse({"key": row["token"], "info": _information(state, row)})
    require_admin(request)
    row = state.keys.get(token_of(asked)) or state.keys.get(asked)
    if row is None:
        raise _not_found("Key not found in database")
    return JSONResponse({"key": asked, "info": _information(state, row)})


async def update(request: Request) -> Response:
    """Change a key; a duration of null or -1 removes its end."""
    state, wish = require_admin(request), await json_of(request)
    _check_budget_field(wish)
    row = _key(state, wish)
    _check_alias(state, wish, token=row["token"])
    state.update(row, wish, identity=_IDENTITY)
    if "duration" in wish:
        duration = wish["duration"]
        is_endless = duration in {None, _NEVER}
        row["expires"] = None if is_endless else state.timestamp(seconds_of(duration))
    return JSONResponse({"key": wish["key"], **row})


async def list_all(request: Request) -> Response:
    """Return a page of keys, as hashes or as whole objects."""
    state, query = require_admin(request), request.query_params
    rows = in_order(request, state.live_keys())
    for name, member in (("user_id", "user_id"), ("key_alias", "key_alias"), ("key_hash", "token")):
        if value := query.get(name):
            rows = [row for row in rows if row[member] == value]
    page = page_of(request, rows, size_name="size", size=_DEFAULT_PAGE)
    whole = query.get("return_full_object", "").lower() == "true"
    return JSONResponse(
        {
            "keys": page["rows"] if whole else [row["token"] for row in page["rows"]],
            "total_count": page["total"],
            "current_page": page["page"],
            "total_pages": page["pages"],
        }
    )


async def block(request: Request) -> Response:
    """Switch a key off."""
    return await _set_blocked(request, blocked=True)


async def unblock(request: Request) -> Response:
    """Switch a key on again."""
    return await _set_blocked(request, blocked=False)


async def delete(request: Request) -> Response:
    """Delete keys by value, hash or alias; those that are not there are passed over."""
    state, wish = require_admin(request), await json_of(request)
    wanted = [*(wish.get("keys") or []), *(wish.get("key_aliases") or [])]
    by_alias = {row["key_alias"]: row for row in state.live_keys() if row["key_alias"]}
    found = {name: state.find_key(name) or by_alias.get(name) for name in wanted}
    deleted = [name for name, row in found.items() if row is not None]
    if not deleted:
        raise ProxyError(404, "invalid_request_error", str({"error": "No keys found"}))
    for row in found.values():
        if row is not None:
            state.delete_key(row)
    return JSONResponse({"deleted_keys": deleted})


async def health(request: Request) -> Response:
    """Say that the caller's own key works."""
    key_of(request)
    return JSONResponse({"key": "healthy", "logging_callbacks": None})


async def _set_blocked(request: Request, *, blocked: bool) -> Response:
    state, wish = require_admin(request), await json_of(request)
    row = _key(state, wish)
    row |= {"blocked": blocked, "updated_at": state.timestamp()}
    return JSONResponse(row)


def _key(state: State, wish: Row) -> Row:
    row = state.find_key(wish.get("key") or "")
    if row is None:
        raise _not_found("Key not found.")
    return row


def _check_alias(state: State, wish: Row, *, token: str = "") -> None:
    """Refuse the alias of another key than ``token``; a new key's own value is no excuse."""
    alias = wish.get("key_alias")
    if alias and any(
        row["key_alias"] == alias and row["token"] != token and row.get("status") != "deleted"
        for row in state.keys.values()
    ):
        text = f"Key with alias '{alias}' already exists. "
        text += "Unique key aliases across all keys are required."
        raise ProxyError(400, "bad_request_error", text, param="key_alias")


def _check_budget_field(wish: Row) -> None:
    check_number(wish, "max_budget")
    budget = float(wish.get("max_budget") or 0)
    if budget < 0 or not math.isfinite(budget):
        text = f"max_budget must be a non-negative finite number. Received: {budget}"
        raise ProxyError(400, "invalid_request_error", str({"error": text}))


def _information(state: State, row: Row) -> Row:
    expired = row["expires"] and datetime.fromisoformat(row["expires"]) <= state.now()
    return {"status": "expired" if expired else "active", **row}


def _not_found(message: str) -> ProxyError:
    return ProxyError(404, "not_found_error", message, param="key")


ROUTES: Final = [
    Route("/key/generate", generate, methods=["POST"]),
    Route("/key/info", info, methods=["GET"]),
    Route("/key/update", update, methods=["POST"]),
    Route("/key/list", list_all, methods=["GET"]),
    Route("/key/block", block, methods=["POST"]),
    Route("/key/unblock", unblock, methods=["POST"]),
    Route("/key/delete", delete, methods=["POST"]),
    Route("/key/health", health, methods=["POST"]),
]
