"""Serving by a configuration, with one process or several."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from django.conf import settings

from gateway_project.server.config import Bounds, Config, Farewell
from gateway_project.server.server import Server
from gateway_project.server.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping

# A client that has not heard of the end sends its next request right after an answer, or has its
# connections closed by whoever stands between.
_KEPT_SECONDS: Final = 2.0


def serve(config: Config) -> int:
    """Serve until a signal, and return the exit status: 0 when nothing was left undone."""
    _allow_many_files()
    sock = config.bind_socket()
    if config.workers > 1:
        return Supervisor(config, sock).run()
    server = Server(config)
    server.run([sock])
    return int(server.has_failed)


def bounds() -> Bounds:
    """Return those of the settings."""
    return Bounds(
        connections=settings.MAX_CONNECTIONS,
        target_bytes=settings.MAX_TARGET_BYTES,
        head_bytes=settings.MAX_HEAD_BYTES,
        headers=settings.MAX_HEADERS,
        head_seconds=settings.HEAD_SECONDS,
        keep_alive_seconds=settings.KEEP_ALIVE_SECONDS,
        message_bytes=settings.MAX_JSON_BYTES,
    )


def from_settings(**options: object) -> Config:
    """Return the configuration of the settings; options that are not None go over them."""
    usual: Mapping[str, object] = {
        "host": settings.SERVER_HOST,
        "port": settings.SERVER_PORT,
        "workers": settings.SERVER_WORKERS,
        "trusted_proxies": settings.TRUSTED_PROXIES,
        "bounds": bounds(),
        "farewell": Farewell(
            notice_seconds=settings.SHUTDOWN_NOTICE_SECONDS,
            drain_seconds=settings.SHUTDOWN_DRAIN_SECONDS,
            kept_seconds=_KEPT_SECONDS,
        ),
    }
    given = {name: value for name, value in options.items() if value is not None}
    return Config(**{**usual, **given})  # type: ignore[arg-type]


def _allow_many_files() -> None:
    """Take as many open files as the system lets a process have: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a limit of its own below that
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
