"""Which plane a connection belongs to. The first pattern that matches has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from accounts.websocket import authenticated
from gateway_core.access import recorded
from gateway_core.proxy.pipeline import proxy
from gateway_project.browsers import for_browsers
from gateway_project.cors import with_cors
from gateway_project.entrance import bounded
from gateway_project.routes import ROUTES
from gateway_project.tls import over_tls

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Receive, Scope, Send

# RFC 6455 §7.4.2: 4000-4999 are the application's own; ours are HTTP statuses on top of 4000.
_NOT_FOUND: Final = 4404


def route(control_plane: Application) -> Application:
    """Return the application that sends each connection to its plane."""
    http = [
        *(_at(mount.paths, mount.wrap(proxy(mount.route))) for mount in ROUTES),
        _at(r"", recorded(bounded(control_plane))),
    ]
    websocket = [_at(r"", nowhere)]
    router = ProtocolTypeRouter(
        {
            "http": for_browsers(with_cors(over_tls(cast("Application", URLRouter(http))))),
            "websocket": over_tls(authenticated(cast("Application", URLRouter(websocket)))),
        }
    )
    return cast("Application", router)


async def nowhere(_scope: Scope, receive: Receive, send: Send) -> None:
    """Turn a WebSocket away from an address that has none, in a way that browsers can read."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": _NOT_FOUND, "reason": "caller_not_found"})


def _at(pattern: str, application: Application) -> Any:
    # Django types a view here; Channels takes the same pattern with an ASGI application.
    return re_path(pattern, cast("Any", application))
