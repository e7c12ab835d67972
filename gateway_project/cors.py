"""Cross-origin requests of browsers, by allow-list, the same for both planes.

No cookie authenticates the API, so credentials are never allowed: a browser sends its token itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_core.headers import first

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Message, Receive, Scope, Send

_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
_EXPOSED: Final = (
    b"x-request-id, retry-after, ratelimit, ratelimit-policy, x-ratelimit-limit, "
    b"x-ratelimit-remaining, x-ratelimit-reset, etag, location, idempotent-replayed"
)
_MAX_AGE_SECONDS: Final = b"600"


def with_cors(application: Application) -> Application:
    """Answer preflights, and name the allowed origin on every answer to it."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        origin = first(scope["headers"], b"origin")
        if origin is None or origin.decode("latin-1") not in settings.ALLOWED_ORIGINS:
            await application(scope, receive, send)
            return
        allowed = [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"origin"),
        ]
        wanted = first(scope["headers"], b"access-control-request-headers")
        if scope["method"] == "OPTIONS" and first(
            scope["headers"], b"access-control-request-method"
        ):
            allowed += [
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", wanted or b"authorization, content-type"),
                (b"access-control-max-age", _MAX_AGE_SECONDS),
            ]
            await send({"type": "http.response.start", "status": 204, "headers": allowed})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *allowed]
            await send(message)

        await application(scope, receive, send_allowed)

    return handle
