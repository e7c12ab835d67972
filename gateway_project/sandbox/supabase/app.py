"""The routes that a signed-in or signing-in user calls, under ``/auth/v1``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.faults import Faults
from gateway_project.sandbox.snapshot import Snapshot
from gateway_project.sandbox.supabase import admin, controls
from gateway_project.sandbox.supabase.answers import (
    AuthError,
    answer_error,
    body_of,
    caller,
    check_new_password,
    state_of,
)
from gateway_project.sandbox.supabase.keys import public_jwk
from gateway_project.sandbox.supabase.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from gateway_project.sandbox.supabase.state import Record

PREFIX: Final = "/auth/v1"
_CACHED: Final = {"cache-control": "public, max-age=600"}


def create_app(*, url: str, state_path: Path | None = None) -> ASGIApp:
    """Return the stand-in.

    Args:
        url: its own address without a path; ``<url>/auth/v1`` is the issuer of its tokens.
        state_path: where users, sessions and keys are kept between runs.
    """
    state = State(url)
    snapshot = Snapshot(state, state_path)
    routes = [
        Route(f"{PREFIX}/signup", sign_up, methods=["POST"]),
        Route(f"{PREFIX}/token", token, methods=["POST"]),
        Route(f"{PREFIX}/logout", sign_out, methods=["POST"]),
        Route(f"{PREFIX}/user", show_user, methods=["GET"]),
        Route(f"{PREFIX}/user", change_user, methods=["PUT"]),
        Route(f"{PREFIX}/.well-known/jwks.json", jwks),
        Route(f"{PREFIX}/.well-known/openid-configuration", openid_configuration),
        Route(f"{PREFIX}/health", health),
        Route(f"{PREFIX}/settings", settings),
        *admin.routes(PREFIX),
        *controls.ROUTES,
    ]
    app = Starlette(
        routes=routes,
        lifespan=snapshot.lifespan,
        exception_handlers={AuthError: answer_error},
    )
    app.state.state = state
    return Faults(app, reset=state.reset)


async def sign_up(request: Request) -> Response:
    """Sign a new user up and in; without an address an anonymous one."""
    state, body = state_of(request), await body_of(request)
    email = body.get("email") or ""
    if not email:
        return JSONResponse(state.sign_in(state.add_user(""), "anonymous"))
    if state.find_user(email):
        raise AuthError(422, "user_already_exists", "User already registered")
    check_new_password(body.get("password") or "")
    user = state.add_user(email, body["password"])
    known = {"email": user["email"], "email_verified": True, "phone_verified": False}
    user["user_metadata"] = (body.get("data") or {}) | known | {"sub": user["id"]}
    return JSONResponse(state.sign_in(user, "password"))


async def token(request: Request) -> Response:
    """Exchange a password or a refresh token for a session."""
    state, body = state_of(request), await body_of(request)
    match request.query_params.get("grant_type"):
        case "password":
            return JSONResponse(_by_password(state, body) | {"weak_password": None})
        case "refresh_token":
            return JSONResponse(_by_refresh_token(state, body))
        case _:
            raise AuthError(400, "invalid_credentials", "unsupported_grant_type")


async def sign_out(request: Request) -> Response:
    """End this session, the others, or all of them."""
    user, session_id = caller(request)
    state = state_of(request)
    match request.query_params.get("scope", "global"):
        case "global":
            state.end_sessions(user["id"])
        case "local":
            state.end_sessions(user["id"], only=session_id)
        case "others":
            state.end_sessions(user["id"], but=session_id)
        case _:
            raise AuthError(400, "validation_failed", "Unsupported logout scope")
    return Response(status_code=204)


async def show_user(request: Request) -> Response:
    """Return the caller."""
    return JSONResponse(caller(request)[0])


async def change_user(request: Request) -> Response:
    """Change the caller's own metadata, address or password."""
    user, _ = caller(request)
    state, body = state_of(request), await body_of(request)
    if password := body.get("password"):
        check_new_password(password)
        state.set_password(user["id"], password)
    if email := body.get("email"):
        user["email"] = email.lower()
    user["user_metadata"] = user["user_metadata"] | (body.get("data") or {})
    user["updated_at"] = state.timestamp()
    return JSONResponse(user)


async def jwks(request: Request) -> Response:
    """Return the public keys; open to everybody, as on the platform."""
    keys = [public_jwk(key) for key in request.app.state.state.keys]
    return JSONResponse({"keys": keys}, headers=_CACHED)


async def openid_configuration(request: Request) -> Response:
    """Return where the other endpoints are."""
    issuer = request.app.state.state.issuer
    configuration = {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "token_endpoint": f"{issuer}/oauth/token",
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "ES256"],
    }
    return JSONResponse(configuration, headers=_CACHED)


async def health(request: Request) -> Response:
    """Return who this claims to be."""
    state_of(request)
    description = "GoTrue is a user registration and authentication API"
    body = {"version": "v2.196.0-sandbox", "name": "GoTrue", "description": description}
    return JSONResponse(body)


async def settings(request: Request) -> Response:
    """Return which ways to sign in are open."""
    state_of(request)
    external = {"anonymous_users": True, "email": True, "phone": False}
    body = {"external": external, "disable_signup": False, "mailer_autoconfirm": True}
    return JSONResponse(body)


def _by_password(state: State, body: Record) -> Record:
    user = state.find_user(body.get("email") or "")
    if user is None or not state.check_password(user["id"], body.get("password") or ""):
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    if state.is_banned(user):
        raise AuthError(400, "user_banned", "User is banned")
    return state.sign_in(user, "password")


def _by_refresh_token(state: State, body: Record) -> Record:
    session_id = state.refresh_tokens.pop(body.get("refresh_token") or "", None)
    if session_id is None:
        text = "Invalid Refresh Token: Refresh Token Not Found"
        raise AuthError(400, "refresh_token_not_found", text)
    if state.is_banned(state.users[state.sessions[session_id]["user_id"]]):
        raise AuthError(400, "user_banned", "User is banned")
    return state.issue(session_id)
