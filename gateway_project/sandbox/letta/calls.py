"""Requests as handlers see them, and the table of routes.

Collections end in a slash and items do not; Starlette answers the other form with a 307 to an
absolute URL, as FastAPI does for the real server.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.letta.ids import DEFAULT_USER_ID, check_path_id, is_id
from gateway_project.sandbox.letta.problems import (
    DetailError,
    InvalidError,
    missing,
    not_json,
    unknown_field,
)
from gateway_project.sandbox.letta.store import DEFAULT_ACTOR, Actor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request

    from gateway_project.sandbox.letta.store import Row, Store
    from gateway_project.sandbox.letta.world import World

    Handler = Callable[["Call"], Awaitable[Any]]

_DEFAULT_REFUSED: Final = "Non-default Actor ID is required when no_default_actor is enabled"


@dataclass(frozen=True, slots=True)
class Call:
    """One request and the world it acts on."""

    request: Request
    world: World

    @property
    def store(self) -> Store:
        """The rows."""
        return self.world.store

    @property
    def actor(self) -> Actor:
        """The user that the header ``user_id`` names; the first one if it comes twice.

        Raises:
            DetailError: 400 for a malformed id; 404 for a missing, default or unknown user unless
                the default actor is allowed, which then silently stands in for them.
        """
        if self.world.is_cloud:
            return DEFAULT_ACTOR
        user_id = self.request.headers.get("user_id")
        if user_id is not None and not is_id("user", user_id):
            text = f"Invalid user ID format: {user_id}. Expected format: 'user-<uuid4>'"
            raise DetailError(400, f"INVALID_ARGUMENT: {text}")
        users = self.store.tables["users"]
        if not self.world.allow_default_actor:
            if user_id in {None, DEFAULT_USER_ID}:
                raise DetailError(404, _DEFAULT_REFUSED)
            if user_id not in users:
                raise DetailError(404, f"User not found with id={user_id}")
        user = users.get(user_id or "") or users[DEFAULT_USER_ID]
        return Actor(user["id"], user["organization_id"])

    @property
    def from_sdk_v1(self) -> bool:
        """Whether an SDK of version 1 or later asks; some answers differ for it."""
        version = self.request.headers.get("x-stainless-package-version", "0")
        major = version.partition(".")[0]
        return major.isdigit() and int(major) >= 1

    def path(self, name: str) -> str:
        """Return a path parameter."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """Return a query parameter."""
        return self.request.query_params.get(name)

    def flag(self, name: str) -> bool:
        """Return a query parameter as a switch, off when absent."""
        return (self.query(name) or "").lower() in {"true", "1", "yes"}

    def many(self, name: str) -> list[str]:
        """Return all values of a query parameter."""
        return self.request.query_params.getlist(name)

    def own(self, table: str, name: str) -> Row:
        """Return the row that a path parameter names, of the actor's organization only."""
        return self.store.own(table, self.path(name), self.actor)

    async def body(
        self, required: Iterable[str] = (), *, allowed: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object of the body; an absent body is an empty object.

        Raises:
            InvalidError: it is not JSON, not an object, lacks a required field, or has one that
                is not ``allowed``.
        """
        given = await self.json()
        if given is None:
            given = {}
        if not isinstance(given, dict):
            fault = {
                "type": "model_attributes_type",
                "loc": ("body",),
                "msg": "Input should be a valid dictionary or object to extract fields from",
                "input": given,
            }
            raise InvalidError([fault])
        for name in required:
            if name not in given:
                raise missing("body", name, given=given)
        for name in given if allowed is not None else ():
            if name not in (allowed or ()):
                raise unknown_field(name, given[name])
        return given

    async def json(self) -> Any:
        """Return the parsed body, or None when there is none.

        Raises:
            InvalidError: it is not JSON.
        """
        raw = await self.request.body()
        if not raw:
            return None
        try:
            return json.loads(raw)
        except json.JSONDecodeError as exc:
            raise not_json(exc.pos, exc.msg) from exc
        except UnicodeDecodeError as exc:
            raise not_json(exc.start, "invalid utf-8") from exc


class Routes:
    """The table of one resource family: method, path, handler."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, Handler]] = []

    def add(self, method: str, *paths: str) -> Callable[[Handler], Handler]:
        """Return a decorator that serves these paths, given without ``/v1``."""

        def register(handler: Handler) -> Handler:
            self._entries += [(method, path, handler) for path in paths]
            return handler

        return register

    def build(self, world: World, prefix: str) -> list[Route]:
        """Return the routes of this table under a prefix."""
        return [_route(prefix + path, m, h, world) for m, path, h in self._entries]


def _route(path: str, method: str, handler: Handler, world: World) -> Route:
    async def endpoint(request: Request) -> Response:
        for name, value in request.path_params.items():
            check_path_id(name, value)
        answer = await handler(Call(request, world))
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    route = Route(path, endpoint, methods=[method])
    route.methods = {method}  # as the real server: GET does not bring HEAD with it
    return route
