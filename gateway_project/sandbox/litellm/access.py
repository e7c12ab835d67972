"""Who calls, and whether this key may do that now."""

from __future__ import annotations

import secrets
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.litellm.problems import (
    DetailError,
    ProxyError,
    unauthorized,
)

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.litellm.state import Row, State

# What a default key of an internal user may do beside calling models, as on the real one.
_SELF_SERVICE: Final = {"/key/generate", "/key/delete", "/key/list", "/key/info", "/user/info"}
_ADMIN_ONLY: Final = (
    "Only proxy admin can be used to generate, delete, update info for new keys/users/teams. "
    "Route={route}. Your role={role}. Your user_id=*******"
)
_NOT_AVAILABLE: Final = (
    "The requested model '{model}' is not available for this API key, or the model name is "
    "invalid. Check the models available to you and try again."
)
_KEY_HEADERS: Final = ("x-litellm-api-key", "authorization", "x-api-key", "api-key")


def state_of(request: Request) -> State:
    """Return the proxy's state."""
    state: State = request.app.state.state
    return state


def key_of(request: Request) -> Row | None:
    """Return the row of the caller's key, or None for the master key.

    Raises:
        ProxyError: 401 when the key is missing, unknown, blocked or expired.
    """
    state = state_of(request)
    given = next((request.headers[name] for name in _KEY_HEADERS if name in request.headers), "")
    given = given.removeprefix("Bearer ").strip()
    if not given:
        raise unauthorized("No api key passed in.")
    if secrets.compare_digest(given.encode(), state.master_key.encode()):
        return None
    if not given.startswith("sk-"):
        raise unauthorized(
            "LiteLLM Virtual Key expected. Received=****, expected to start with 'sk-'."
        )
    row = state.find_key(given)
    if row is None:
        kind = "token_not_found_in_db"
        raise unauthorized("Invalid API key provided.", kind, "key")
    _check_alive(state, row)
    return row


def require_admin(request: Request) -> State:
    """Return the state where the caller may manage.

    Raises:
        ProxyError: 401 for a virtual key, unless the route is one that users serve themselves.
        DetailError: 403 for a key that only calls models.
    """
    row = key_of(request)
    state = state_of(request)
    if row is None:
        return state
    route = request.url.path
    if row["key_type"] == "llm_api":
        allowed = row["allowed_routes"]
        text = "Virtual key is not allowed to call this route. Only allowed to call routes: "
        raise DetailError(403, f"{text}{allowed}. Tried to call route: {route}")
    user = state.users.get(row["user_id"] or "")
    if user is None or route not in _SELF_SERVICE:
        role = user["user_role"] if user else "unknown"
        raise unauthorized(_ADMIN_ONLY.format(route=route, role=role))
    return state


def check_model(state: State, key: Row | None, model: str) -> None:
    """Raise when the key or its user may not use this model; unknown models count as such."""
    if key is None:
        return
    user = state.users.get(key["user_id"] or "") or {}
    for owner, kind in ((key, "key"), (user, "user")):
        if not may_use(owner, model):
            message = _NOT_AVAILABLE.format(model=model)
            raise ProxyError(403, f"{kind}_model_access_denied", message, param="model")


def may_use(owner: Row, model: str) -> bool:
    """Say whether a key or user may use a model; an empty list allows all."""
    patterns = owner.get("models") or ["*"]
    return any(fnmatchcase(model, pattern) for pattern in patterns)


def check_budget(state: State, key: Row) -> None:
    """Raise 422 when the key's or its user's budget is spent; the last call may overdraw it."""
    state.renew_budget(key)
    if _is_spent(key):
        name = f"{key['key_alias']} ({key['key_name']})"
        text = f"Budget has been exceeded! Key={name} Current cost: {key['spend']}, "
        raise ProxyError(422, "budget_exceeded", f"{text}Max budget: {key['max_budget']}")
    user = state.users.get(key["user_id"] or "")
    if user is None:
        return
    state.renew_budget(user)
    if _is_spent(user):
        text = f"ExceededBudget: User={user['user_id']} over budget. Spend={user['spend']}, "
        raise ProxyError(422, "budget_exceeded", f"{text}Budget={user['max_budget']}")


def check_limits(state: State, key: Row) -> None:
    """Count a call and raise 429 when the key's or its user's minute is full.

    Of a user's limits, the one of parallel calls is not looked at, as on the real one.
    """
    owners = [(f"api_key: {key['token']}", key, state.window(key["token"]))]
    if user := state.users.get(key["user_id"] or ""):
        of_user = {**user, "max_parallel_requests": None}
        owners.append((f"user: {user['user_id']}", of_user, state.window(user["user_id"])))
    for name, owner, window in owners:
        used = {
            "requests": (owner["rpm_limit"], window.requests),
            "tokens": (owner["tpm_limit"], window.tokens),
            "max_parallel_requests": (owner["max_parallel_requests"], window.running),
        }
        for kind, (limit, amount) in used.items():
            if limit is not None and amount >= limit:
                raise _limited(state, name, kind, limit, window.ends)
    for _, _, window in owners:
        window.requests += 1


def _limited(state: State, owner: str, kind: str, limit: Any, ends: float) -> ProxyError:
    reset_at = datetime.fromtimestamp(ends, state.now().tzinfo).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = f"Rate limit exceeded for {owner}. Limit type: {kind}. "
    text += f"Current limit: {limit}, Remaining: 0. Limit resets at: {reset_at}"
    headers = {"retry-after": "60", "rate_limit_type": kind, "reset_at": reset_at}
    return ProxyError(429, "throttling_error", text, headers=headers)


def _is_spent(owner: Row) -> bool:
    return owner["max_budget"] is not None and owner["spend"] >= owner["max_budget"]


def _check_alive(state: State, row: Row) -> None:
    if row["blocked"]:
        raise unauthorized("Key is blocked. Update via `/key/unblock` if you're an admin.")
    if row["expires"] and datetime.fromisoformat(row["expires"]) <= state.now():
        text = f"Authentication Error - Expired Key. Key Expiry time {row['expires']}"
        raise ProxyError(401, "expired_key", text, param=row["key_name"])
