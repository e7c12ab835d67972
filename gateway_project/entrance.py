"""The way into the control plane: what a route takes, whose a request is, and a place for it.

All of that is settled before anything of a body is read, which strangers could fill the disk with,
and before a thread is had, of which one user could have all. Django itself asks who somebody is
when it has the whole body on disk and a thread at work.

A view of the API proves its caller once more and bounds what it parses once more, so that it is
safe without this entrance, too. Here neither is idle: whoever was shut out since is refused, from
memory, and some views parse less than may come in.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.urls import Resolver404, resolve
from rest_framework.permissions import SAFE_METHODS
from rest_framework.views import APIView

from accounts.authentication import SupabaseAuthentication
from accounts.principals.identify import identify
from gateway_core import context
from gateway_core.errors import GatewayError, InternalError
from gateway_core.headers import first
from gateway_core.intake import most_bytes
from gateway_core.logging import get_logger
from gateway_core.memory import MEMORY
from gateway_project.incoming import incoming
from gateway_project.slashes import without_last_slash
from gateway_project.throttling import count_stranger, held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from gateway_core.asgi import Application, Receive, Scope, Send
    from gateway_project.incoming import Incoming


_log = get_logger("gateway.entrance")


def bounded(application: Application) -> Application:
    """Wrap the control plane."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        with incoming(receive, send) as request:
            try:
                await _carry(request, application, scope)
            except GatewayError as error:
                await request.end(error)
            except Exception:  # noqa: BLE001 - the outermost handler
                _log.exception("unexpected failure")
                await request.end(InternalError())

    return handle


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What a route says of itself.

    Attributes:
        name: as the request is recorded under; empty where there is no route.
        most_bytes: of a body.
        takes_tokens: it is the API's, for users.
        takes_sessions: those of the admin let in, too.
        is_limited: by the address of whoever comes without a token.
        goes_on_when_short: of memory; what staff, balancers and scrapers read.
    """

    name: str
    most_bytes: int
    takes_tokens: bool = False
    takes_sessions: bool = False
    is_limited: bool = True
    goes_on_when_short: bool = False


async def _carry(request: Incoming, application: Application, scope: Scope) -> None:
    way, record = entrance(scope), context.current.get()
    if record is not None and way.name:
        record.operation = way.name
    if not way.goes_on_when_short:
        MEMORY.refuse()
    async with _let_in(scope, way) as user_id:
        request.admit(way.most_bytes, user_id)
        await request.serve(application, scope)


def entrance(scope: Scope) -> Entrance:
    """Return what the route of a request says of itself."""
    try:
        found = resolve(without_last_slash(scope["path"]))
    except Resolver404:
        is_static = scope["path"].startswith(settings.STATIC_URL)
        return Entrance(name="static" if is_static else "", most_bytes=most_bytes(None))
    schemes = _schemes(found.func)
    tokens = [one for one in schemes if issubclass(one, SupabaseAuthentication)]
    takes_sessions = len(schemes) > len(tokens)
    return Entrance(
        name=found.view_name,
        most_bytes=most_bytes(_handler(found.func, scope["method"])),
        takes_tokens=bool(tokens),
        takes_sessions=takes_sessions,
        is_limited=bool(getattr(found.func, "cls", APIView).throttle_classes),
        goes_on_when_short=scope["method"] in SAFE_METHODS and (takes_sessions or not tokens),
    )


@asynccontextmanager
async def _let_in(scope: Scope, way: Entrance) -> AsyncIterator[UUID | None]:
    """Say whose a request is, count it, and hold its place for the block.

    None is said where the route asks for no token, or for a session: Django knows what to do then.

    Raises:
        GatewayError: what ``identify`` raises.
        RateLimited, TooManyConcurrent: it may not go on now.
    """
    authorization = first(scope["headers"], b"authorization")
    if not way.takes_tokens or (authorization is None and way.takes_sessions):
        if way.is_limited:
            await count_stranger(way.name.partition(":")[0])  # all pages of the admin are one kind
        yield None
        return
    principal = await identify(authorization)
    record = context.current.get()
    if record is not None:
        record.belongs_to(principal.user_id, principal.api_key_id)
    async with held(principal.user_id):
        yield principal.user_id


def _schemes(view: Any) -> list[type]:
    """Return how callers of a view of the API may prove who they are; of another view nothing."""
    if not hasattr(view, "cls"):
        return []
    return list(view.initkwargs.get("authentication_classes", view.cls.authentication_classes))


def _handler(view: Any, method: str) -> Any:
    """Return what answers, as far as can be said: a method of a view of the API, or the view."""
    if not hasattr(view, "cls"):
        return view
    name = method.lower()
    actions: dict[str, str] = getattr(view, "actions", None) or {}
    return getattr(view.cls, actions.get(name, name), None)
