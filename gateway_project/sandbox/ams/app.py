"""The application: health, version, and all routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.ams import agents, clones, templates, upgrades
from gateway_project.sandbox.ams.calls import (
    ProblemError,
    answer_problem,
    require_key,
    require_new,
    state_of,
)
from gateway_project.sandbox.ams.state import State
from gateway_project.sandbox.faults import Faults
from gateway_project.sandbox.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp

CAPABILITIES: Final = (
    "templates",
    "agents.clone",
    "agents.delete",
    "agents.suspend",
    "agents.update",
    "agents.upgrade",
)


def create_app(*, api_key: str, state_path: Path | None = None) -> ASGIApp:
    """Return the stand-in. ``PUT /_sandbox/old`` makes it the first AMS, until it is reset.

    Agents are made in the Letta of ``LETTA_BASE_URL`` at the time of a call.

    Args:
        api_key: the bearer key that callers must show.
        state_path: where templates and agents are kept between runs.
    """
    state = State()
    app = Starlette(
        routes=[*_ROUTES, *templates.ROUTES, *agents.ROUTES, *clones.ROUTES, *upgrades.ROUTES],
        lifespan=Snapshot(state, state_path).lifespan,
        exception_handlers={ProblemError: answer_problem},
    )
    app.state.state, app.state.api_key = state, api_key
    return Faults(app, reset=state.reset)


async def health(_: Request) -> Response:
    """Say that it lives."""
    checks = {"database": True, "proxy_service": True, "letta_api_key": True}
    return JSONResponse({"status": "ok", "checks": checks})


async def version(request: Request) -> Response:
    """Say which contract it keeps, and how much of it."""
    require_new(request)
    require_key(request)
    told = {"contract": "1", "version": "sandbox", "capabilities": list(CAPABILITIES)}
    return JSONResponse(told)


async def become_old(request: Request) -> Response:
    """Do only what the first AMS did from now on."""
    state_of(request).is_old = True
    return Response(status_code=204)


_ROUTES: Final = [
    Route("/health", health),
    Route("/version", version),
    Route("/_sandbox/old", become_old, methods=["PUT"]),
]
