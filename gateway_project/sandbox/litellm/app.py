"""The application: health, models, spending, and all routes with and without ``/v1``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.faults import PREFIX, Faults
from gateway_project.sandbox.litellm import chat, keys, media, responses, spend, users
from gateway_project.sandbox.litellm.access import key_of, may_use, require_admin, state_of
from gateway_project.sandbox.litellm.models import MODELS
from gateway_project.sandbox.litellm.problems import (
    DetailError,
    ProxyError,
    answer_detail_error,
    answer_http_error,
    answer_proxy_error,
)
from gateway_project.sandbox.litellm.state import State
from gateway_project.sandbox.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from gateway_project.sandbox.litellm.models import Model
    from gateway_project.sandbox.litellm.state import Row

_MODEL_ROUTES: Final = {
    "/chat/completions": chat.chat_completions,
    "/completions": chat.completions,
    "/responses": responses.responses,
    "/messages": responses.messages,
    "/embeddings": media.embeddings,
    "/images/generations": media.images,
    "/audio/speech": media.speech,
    "/audio/transcriptions": media.transcriptions,
    "/moderations": media.moderations,
    "/rerank": media.rerank,
}
_CREATED: Final = 1677610602


def create_app(*, master_key: str, state_path: Path | None = None) -> ASGIApp:
    """Return the stand-in. ``POST /_sandbox/clock {"offset": seconds}`` shifts its time.

    Args:
        master_key: the administrator's key; starts with ``sk-``.
        state_path: where users, keys and spending are kept between runs.
    """
    state = State(master_key)
    snapshot = Snapshot(state, state_path)
    app = Starlette(
        routes=[*_ROUTES, *users.ROUTES, *keys.ROUTES, *spend.ROUTES],
        lifespan=snapshot.lifespan,
        exception_handlers={
            ProxyError: answer_proxy_error,
            DetailError: answer_detail_error,
            HTTPException: answer_http_error,
        },
    )
    app.state.state = state
    return Faults(app, reset=state.reset)


async def liveliness(_: Request) -> Response:
    """Say that the process runs."""
    return JSONResponse("I'm alive!")


async def readiness(_: Request) -> Response:
    """Say that the database answers."""
    return JSONResponse({"status": "healthy", "db": "connected"})


async def readiness_details(request: Request) -> Response:
    """Say more to those who have a key."""
    key_of(request)
    body = {"status": "healthy", "db": "connected", "litellm_version": "1.109.1"}
    return JSONResponse(body)


async def models(request: Request) -> Response:
    """Return the models that the caller's key and user may use."""
    key, state = key_of(request), state_of(request)
    owners = [owner for owner in (key, state.users.get((key or {}).get("user_id") or "")) if owner]
    data = [
        {
            "id": model.name,
            "object": "model",
            "created": _CREATED,
            "owned_by": model.provider,
            "mode": model.mode,
        }
        for model in MODELS
        if all(may_use(owner, model.name) for owner in owners)
    ]
    return JSONResponse({"data": data, "object": "list"})


async def model_info(request: Request) -> Response:
    """Return the models with their providers and prices."""
    require_admin(request)
    return JSONResponse({"data": [_model_information(model) for model in MODELS]})


async def shift_clock(request: Request) -> Response:
    """Set how far the proxy's clock is off."""
    state_of(request).clock_offset = (await request.json())["offset"]
    return Response(status_code=204)


def _model_information(model: Model) -> Row:
    return {
        "model_name": model.name,
        "litellm_params": {"model": f"{model.provider}/{model.name}"},
        "model_info": {"mode": model.mode, "db_model": False},
    }


_ROUTES: Final = [
    Route("/health/liveliness", liveliness),
    Route("/health/liveness", liveliness),
    Route("/health/readiness", readiness),
    Route("/health/readiness/details", readiness_details),
    Route(f"{PREFIX}/clock", shift_clock, methods=["POST"]),
    Route(
        "/openai/deployments/{model:path}/chat/completions",
        chat.chat_completions,
        methods=["POST"],
    ),
    *(
        Route(f"{prefix}{path}", endpoint, methods=["POST"])
        for prefix in ("", "/v1")
        for path, endpoint in _MODEL_ROUTES.items()
    ),
    *(
        route
        for prefix in ("", "/v1")
        for route in (
            Route(f"{prefix}/models", models),
            Route(f"{prefix}/model/info", model_info),
        )
    ),
]
