"""Nothing is served in plain where TLS is asked for, on neither plane: ``SECURE_SSL_REDIRECT``.

People who ask for a page are sent to its address with TLS. Programs are refused: a redirect would
lose the body of a POST, and nobody would notice that each request shows its token on the way.
WebSockets are closed before anybody looks at what they carry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts.websocket import turn_away
from gateway_core.access import recorded
from gateway_core.errors import TlsMissing
from gateway_core.headers import first
from gateway_project.server.refusals import refusing

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Receive, Scope, Send

_API: Final = "/api/"
# Probes, Prometheus, and Letta by GATEWAY_INTERNAL_URL: they come past the load balancer.
_IS_INSIDE: Final = re.compile(
    r"/(?:(?:api/v1/system/(?:health|ready)|metrics)/?|api/v1/agents/[^/]+/proxy(?:/.*)?)",
    re.DOTALL,
).fullmatch
_refuse: Final = refusing(TlsMissing())


def has_tls(scope: Scope) -> bool:
    """Say whether the client has used TLS.

    The server has the last word: it believes ``X-Forwarded-Proto`` of ``TRUSTED_PROXIES`` alone.
    """
    return scope.get("scheme") in {"https", "wss"}


def over_tls(application: Application) -> Application:
    """Redirect or refuse what came in plain, but for what comes from inside."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        asked = settings.SECURE_SSL_REDIRECT and not has_tls(scope)
        way = _instead(scope, application) if asked else application
        await way(scope, receive, send)

    return handle


def _instead(scope: Scope, application: Application) -> Application:
    if scope["type"] == "websocket":
        return _close
    if _IS_INSIDE(scope["path"]):
        return application
    is_page = scope["method"] in {"GET", "HEAD"} and not scope["path"].startswith(_API)
    host = (first(scope["headers"], b"host") or b"").decode("latin-1")
    domain, _port = split_domain_port(host)
    # Whom nobody knows by that name is sent nowhere by it.
    is_known = bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)
    return recorded(_redirect) if is_page and is_known else _refuse


async def _close(scope: Scope, receive: Receive, send: Send) -> None:
    await turn_away(TlsMissing(), scope, receive, send)


async def _redirect(scope: Scope, _receive: Receive, send: Send) -> None:
    host, query = first(scope["headers"], b"host"), scope["query_string"]
    target = (scope.get("raw_path") or scope["path"].encode()) + (query and b"?" + query)
    headers = [(b"location", b"https://%s%s" % (host, target)), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 301, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
