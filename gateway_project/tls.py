"""Nothing is served in plain where TLS is asked for, on neither plane: ``SECURE_SSL_REDIRECT``.

People who ask for a page are sent to its address with TLS. Programs are refused: a redirect would
lose the body of a POST, and nobody would notice that each request shows its token on the way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.http.request import split_domain_port, validate_host

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
    """Say whether the client has used TLS, by the rule of Django's ``SECURE_PROXY_SSL_HEADER``."""
    said = first(scope["headers"], b"x-forwarded-proto")
    if said is None:
        return bool(scope.get("scheme") == "https")
    return said.partition(b",")[0].strip() == b"https"


def over_tls(application: Application) -> Application:
    """Redirect or refuse what came in plain, but for what comes from inside."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        asked = settings.SECURE_SSL_REDIRECT and not has_tls(scope)
        way = _instead(scope) if asked and not _IS_INSIDE(scope["path"]) else application
        await way(scope, receive, send)

    return handle


def _instead(scope: Scope) -> Application:
    is_page = scope["method"] in {"GET", "HEAD"} and not scope["path"].startswith(_API)
    host = (first(scope["headers"], b"host") or b"").decode("latin-1")
    domain, _port = split_domain_port(host)
    # Whom nobody knows by that name is sent nowhere by it.
    is_known = bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)
    return recorded(_redirect) if is_page and is_known else _refuse


async def _redirect(scope: Scope, _receive: Receive, send: Send) -> None:
    host, query = first(scope["headers"], b"host"), scope["query_string"]
    target = (scope.get("raw_path") or scope["path"].encode()) + (query and b"?" + query)
    headers = [(b"location", b"https://%s%s" % (host, target)), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 301, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
