"""What the server is told: uvicorn's configuration, and bounds that uvicorn does not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import uvicorn

from gateway_project.server.protocol import BoundedProtocol

APPLICATION: Final = "gateway_project.asgi:application"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one process takes from its clients.

    Attributes:
        connections: at a time; requests on more are refused while none of them is idle.
        target_bytes: of a path with its query.
        head_bytes: of a request line with all headers.
        headers: of a request.
        head_seconds: until a head is complete.
        keep_alive_seconds: that a connection is kept without a request.
        message_bytes: of a WebSocket message.
    """

    connections: int
    target_bytes: int
    head_bytes: int
    headers: int
    head_seconds: float
    keep_alive_seconds: int
    message_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """How a process ends.

    Attributes:
        notice_seconds: for which it serves on, with red readiness.
        drain_seconds: that what is under way has after that.
        kept_seconds: of these, for which a connection without a request is still kept.
    """

    notice_seconds: float
    drain_seconds: float
    kept_seconds: float


class Config(uvicorn.Config):
    """A configuration of uvicorn, the same for one process and for several."""

    def __init__(  # noqa: PLR0913 - each is an option of the command
        self,
        *,
        host: str,
        port: int,
        bounds: Bounds,
        farewell: Farewell,
        workers: int = 1,
        trusted_proxies: str = "127.0.0.1,::1",
        log_level: str | None = None,
    ) -> None:
        super().__init__(
            APPLICATION,
            host=host,
            port=port,
            workers=workers,
            http=BoundedProtocol,
            lifespan="on",
            log_config=None,
            log_level=log_level,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=trusted_proxies,
            timeout_keep_alive=bounds.keep_alive_seconds,
            ws_max_size=bounds.message_bytes,
        )
        self.bounds = bounds
        self.farewell = farewell
