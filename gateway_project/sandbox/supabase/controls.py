"""What tests do to this stand-in beyond ``faults``: keys, clock, tokens of any kind.

- ``POST /_sandbox/mint`` ``{"email": …, "claims": {…}, "header": {…}, "alg": …, "key": …}`` returns
  ``{"access_token", "session"}``. The user is made when new and gets a session; ``claims`` and
  ``header`` go over the usual ones and null removes a member. ``alg`` other than that of the key
  in use needs ``key`` (a PEM or a shared secret), except ``none`` and HS256 (the project's legacy
  secret).
- ``POST /_sandbox/keys`` ``{"alg": "ES256"}`` rotates at once: the new key signs, the old one stays
  published. With ``"state": "standby"`` the new key is only published.
- ``DELETE /_sandbox/keys/{kid}`` revokes; ``GET /_sandbox/keys`` lists ``kid, alg, state``.
- ``POST /_sandbox/clock`` ``{"offset": seconds}`` shifts this server's time.
- ``POST /_sandbox/users`` ``{"count": 10000}`` adds ``user0@example.com`` and so on, at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.faults import PREFIX
from gateway_project.sandbox.supabase.keys import new_key, sign
from gateway_project.sandbox.supabase.state import LEGACY_SECRET

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway_project.sandbox.supabase.state import Record, State


async def mint(request: Request) -> Response:
    """Return a token for a user, right or wrong in any respect."""
    state: State = request.app.state.state
    wish = await request.json()
    email = wish.get("email", "")
    user = (state.find_user(email) if email else None) or state.add_user(email)
    session = state.sign_in(user, "password" if email else "anonymous")
    session_id = next(reversed(state.sessions))
    claims = {**state.claims(session_id), **wish.get("claims", {})}
    claims = {name: value for name, value in claims.items() if value is not None}
    return JSONResponse({"access_token": _sign(state, claims, wish), "session": session})


async def list_keys(request: Request) -> Response:
    """Return the signing keys without their private halves."""
    keys = request.app.state.state.keys
    return JSONResponse([{name: key[name] for name in ("kid", "alg", "state")} for key in keys])


async def add_key(request: Request) -> Response:
    """Rotate to a new key, or publish one on standby."""
    state: State = request.app.state.state
    wish = await request.json()
    key = new_key(wish.get("alg", "ES256"), wish.get("state", "in_use"))
    if key["state"] == "in_use":
        for old in state.keys:
            old["state"] = "previously_used"
    state.keys.append(key)
    return JSONResponse({"kid": key["kid"]})


async def revoke_key(request: Request) -> Response:
    """Take a key out of the JWKS."""
    state: State = request.app.state.state
    state.keys = [key for key in state.keys if key["kid"] != request.path_params["kid"]]
    return Response(status_code=204)


async def shift_clock(request: Request) -> Response:
    """Set how far this server's clock is off."""
    request.app.state.state.clock_offset = (await request.json())["offset"]
    return Response(status_code=204)


async def add_users(request: Request) -> Response:
    """Add many users."""
    state: State = request.app.state.state
    count: int = (await request.json())["count"]
    ids = state.add_users([f"user{number}@example.com" for number in range(count)])
    return JSONResponse({"ids": ids})


def _sign(state: State, claims: Record, wish: Record) -> str:
    key: dict[str, str] = next(key for key in state.keys if key["state"] == "in_use")
    alg: str = wish.get("alg", key["alg"])
    usual_keys = {"none": "", "HS256": LEGACY_SECRET, key["alg"]: key["pem"]}
    usual_header = {"kid": key["kid"]} if alg == key["alg"] else {}
    header = {**usual_header, **wish.get("header", {})}
    secret: str = wish.get("key", usual_keys.get(alg, ""))
    return sign(claims, header, secret, alg)


ROUTES: Final = [
    Route(f"{PREFIX}/mint", mint, methods=["POST"]),
    Route(f"{PREFIX}/keys", list_keys, methods=["GET"]),
    Route(f"{PREFIX}/keys", add_key, methods=["POST"]),
    Route(f"{PREFIX}/keys/{{kid}}", revoke_key, methods=["DELETE"]),
    Route(f"{PREFIX}/clock", shift_clock, methods=["POST"]),
    Route(f"{PREFIX}/users", add_users, methods=["POST"]),
]
