"""The server with an application that keeps WebSockets open: ``websocket_server PORT``."""

from __future__ import annotations

import sys
from typing import Any

import django

django.setup()

from gateway_project.server.config import Farewell  # noqa: E402 - needs loaded apps
from gateway_project.server.run import from_settings, serve  # noqa: E402 - likewise


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Accept whoever comes, and wait."""
    while True:
        kind = (await receive())["type"]
        if kind == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif kind == "websocket.disconnect":
            return
        elif scope["type"] == "lifespan":
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


if __name__ == "__main__":
    config = from_settings(
        port=int(sys.argv[1]),
        farewell=Farewell(notice_seconds=0, drain_seconds=0.2, kept_seconds=0),
    )
    config.app = application
    sys.exit(serve(config))
