"""What browsers may do with our answers, the same on both planes: guess, frame, run, embed nothing.

The pages for people get just what they need: Django's admin and Swagger UI no inline code at all,
Redoc styles that it makes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Message, Receive, Scope, Send

_NOTHING: Final = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'"
)
_REDOC: Final = (
    _PAGE.replace(b"style-src 'self'", b"style-src 'self' 'unsafe-inline'") + b"; worker-src blob:"
)
_POLICIES: Final = (("/admin", _PAGE), ("/docs", _PAGE), ("/redoc", _REDOC))
_API: Final = "/api/"
_TLS_ONLY: Final = b"strict-transport-security"
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


def for_browsers(application: Application) -> Application:
    """Put these headers on every answer that has none of that name."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _guarded(scope, message.get("headers", ()))
            await send(message)

        await application(scope, receive, send_guarded)

    return handle


def _guarded(scope: Scope, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in given}  # Django writes them large
    headers = [*given, (b"content-security-policy", _policy(scope["path"]))]
    headers += [pair for pair in _ALWAYS if pair[0] not in names]
    if scope.get("scheme") == "https" and _TLS_ONLY not in names and settings.SECURE_HSTS_SECONDS:
        headers.append((_TLS_ONLY, b"max-age=%d; includeSubDomains" % settings.SECURE_HSTS_SECONDS))
    return headers


def _policy(path: str) -> bytes:
    if path.startswith(_API):
        return _NOTHING
    return next((policy for start, policy in _POLICIES if path.startswith(start)), _NOTHING)
