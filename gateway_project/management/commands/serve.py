"""``manage.py serve``: the server of production."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError

from gateway_project.server.run import from_settings, serve

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


_LAST_PORT: Final = 65535


class Command(BaseCommand):
    """Options go over settings; what is no option is a setting."""

    help = "Serve, until SIGTERM or Ctrl-C. A second signal ends at once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name them like uvicorn does."""
        parser.add_argument("--host", help="address to listen on (SERVER_HOST)")
        parser.add_argument("--port", type=int, help="port to listen on (SERVER_PORT)")
        parser.add_argument("--workers", type=int, help="processes that serve (SERVER_WORKERS)")
        parser.add_argument(
            "--trusted-proxies",
            help="whose X-Forwarded-For and -Proto are believed (TRUSTED_PROXIES)",
        )

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """Serve.

        Raises:
            CommandError: an option, or the setting in its place, can't be.
        """
        names = ("host", "port", "workers", "trusted_proxies")
        config = from_settings(**{name: options[name] for name in names})
        if not 0 <= config.port <= _LAST_PORT:
            raise CommandError(f"--port is from 0, any that is free, to {_LAST_PORT}.")
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers is at least 1.")
        sys.exit(serve(config))
