"""A stand-in for AMS, the Agent Management Service: so far only that it is there.

Its contract is in the project's documentation; everything but health and version answers 501.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.faults import Faults

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_app(*, api_key: str) -> ASGIApp:
    """Return the stand-in.

    Args:
        api_key: the bearer key that callers must show.
    """

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "checks": {}})

    async def version(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), api_key.encode()):
            return JSONResponse({"error": "Unauthorized"}, 401)
        return JSONResponse({"contract": "1", "version": "sandbox", "capabilities": []})

    async def not_offered(_: Request) -> Response:
        return JSONResponse({"error": "This stand-in only has /health and /version"}, 501)

    return Faults(
        Starlette(
            routes=[
                Route("/health", health),
                Route("/version", version),
                Route("/{path:path}", not_offered, methods=_ALL_METHODS),
            ]
        )
    )
