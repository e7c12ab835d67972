"""What browsers may do with our answers, the same on both planes: guess, frame, run, embed nothing.

The pages for people get just what they need: Django's admin and Swagger UI no inline code at all,
Redoc styles that it makes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_project.tls import has_tls

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
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_GUARDS: Final = {
    policy: (*_ALWAYS, (b"content-security-policy", policy)) for policy in (_NOTHING, _PAGE, _REDOC)
}


def for_browsers(application: Application) -> Application:
    """Put these headers on every answer. Nothing behind this has any of them."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_GUARDS[_policy(scope["path"])]]
                if settings.SECURE_HSTS_SECONDS and has_tls(scope):
                    headers.append((b"strict-transport-security", _tls_only()))
                message["headers"] = headers
            await send(message)

        await application(scope, receive, send_guarded)

    return handle


def _policy(path: str) -> bytes:
    if path.startswith(_API):
        return _NOTHING
    return next((policy for start, policy in _POLICIES if path.startswith(start)), _NOTHING)


def _tls_only() -> bytes:
    preload = b"; preload" if settings.SECURE_HSTS_PRELOAD else b""
    return b"max-age=%d; includeSubDomains%s" % (settings.SECURE_HSTS_SECONDS, preload)
