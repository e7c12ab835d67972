"""The stand-in as an ASGI application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.faults import PREFIX, Faults
from gateway_project.sandbox.letta.model import echo
from gateway_project.sandbox.letta.problems import ProblemError, UnknownError
from gateway_project.sandbox.letta.routes import TABLES
from gateway_project.sandbox.letta.routes.general import VERSION
from gateway_project.sandbox.letta.world import World
from gateway_project.sandbox.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

# Every route of the real server answers under both.
_MOUNTS: Final = ("/v1", "/latest")
_OPEN: Final = frozenset(f"{m}/{name}/" for m in _MOUNTS for name in ("health", "ready"))


def create_app(  # noqa: PLR0913 - each is one setting of the stand-in
    *,
    password: str,
    model: Callable[[str], str] | None = None,
    state_path: Path | None = None,
    allow_default_actor: bool = False,
    keepalive_seconds: float = 20.0,
    parsing_seconds: float = 0.02,
    cloud: bool = False,
) -> Faults:
    """Return the stand-in, with the fault controls of ``gateway_project.sandbox.faults`` on it.

    Further controls: ``GET /_sandbox/fetched`` (URLs that callers made the server request),
    ``/_sandbox/executed`` (code that callers made it run) and ``/_sandbox/uploads`` (id, size
    and SHA-256 of the files that arrived). ``PUT /_sandbox/cloud`` makes it one organization for
    all, as Letta Cloud is, until the next reset.

    Args:
        password: the server's password; every request but health needs it.
        model: makes the answer to a text that holds no directive; an echo when left out.
        state_path: a JSON file that keeps the rows over a restart.
        allow_default_actor: whether a missing or unknown ``user_id`` silently becomes the default
            user, as on a real server without ``LETTA_NO_DEFAULT_ACTOR``.
        keepalive_seconds: after which a silent stream gets a ping.
        parsing_seconds: how long an uploaded file stays in ``parsing``.
        cloud: whether it is like Letta Cloud, where one organization has what all users have.
    """
    world = World(
        compose=model or echo,
        allow_default_actor=allow_default_actor,
        keepalive_seconds=keepalive_seconds,
        parsing_seconds=parsing_seconds,
    )
    world.become_cloud(on=cloud)
    app = Starlette(
        routes=_routes(world),
        middleware=[Middleware(_Password, password=password)],
        exception_handlers={
            ProblemError: _answer_problem,
            HTTPException: _answer_http_exception,
            Exception: _answer_unknown,
        },
        lifespan=_lifespan(world, state_path),
    )
    return Faults(app, reset=world.reset)


def _routes(world: World) -> list[Route]:
    routes = [
        Route("/openapi.json", _openapi),
        Route(f"{PREFIX}/fetched", _listing(lambda: list(world.outside.fetched))),
        Route(f"{PREFIX}/executed", _listing(lambda: list(world.outside.executed))),
        Route(f"{PREFIX}/uploads", _listing(lambda: _uploads(world))),
        Route(f"{PREFIX}/cloud", _become_cloud(world), methods=["PUT"]),
    ]
    for mount in _MOUNTS:
        for table in TABLES:
            routes += table.build(world, mount)
    return routes


def _lifespan(world: World, state_path: Path | None) -> Callable[[Any], Any]:
    snapshot = Snapshot(world.store, state_path)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with snapshot.lifespan(app):
            yield
            world.turns.clear()
        await world.outside.client.close()

    return lifespan


class _Password:
    """Refuses requests without the server's password."""

    def __init__(self, app: ASGIApp, password: str) -> None:
        self._app = app
        self._accepted = {
            b"authorization": f"Bearer {password}".encode(),
            b"x-bare-password": f"password {password}".encode(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._lets(scope):
            response = JSONResponse({"detail": "Unauthorized"}, status_code=401)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _lets(self, scope: Scope) -> bool:
        if scope["path"] in _OPEN or scope["path"].startswith(f"{PREFIX}/"):
            return True
        return any(self._accepted.get(name) == value for name, value in scope["headers"])


async def _answer_problem(_request: Request, exc: Exception) -> Response:
    problem: Any = exc
    headers = {"connection": "close"} if isinstance(problem, UnknownError) else None
    return JSONResponse(problem.body, status_code=problem.status, headers=headers)


async def _answer_http_exception(_request: Request, exc: Exception) -> Response:
    error: Any = exc
    body = {"detail": error.detail}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _answer_unknown(_request: Request, _exc: Exception) -> Response:
    return JSONResponse({"detail": "An unknown error occurred"}, status_code=500)


async def _openapi(_request: Request) -> Response:
    info = {"title": "Letta", "version": VERSION}
    return JSONResponse({"openapi": "3.1.0", "info": info, "paths": {}})


def _listing(rows: Callable[[], list[Any]]) -> Callable[[Request], Any]:
    async def endpoint(_request: Request) -> Response:
        return JSONResponse(rows())

    return endpoint


def _become_cloud(world: World) -> Callable[[Request], Any]:
    async def endpoint(_request: Request) -> Response:
        world.become_cloud(on=True)
        return Response(status_code=204)

    return endpoint


def _uploads(world: World) -> list[dict[str, Any]]:
    return [
        {"id": row["id"], "size_bytes": row["file_size"], "sha256": row["_sha256"]}
        for row in world.store.anyones_rows("files")
    ]
