"""The gateway of a run: its database brought up to date, then served.

    python -m gateway_project.sandbox.gateway PORT

One process for both, since loading everything is what takes the time. The person whom
``DJANGO_SUPERUSER_USERNAME`` and ``…_PASSWORD`` name is made when nobody may do everything yet.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import django
from django.core.management import call_command

_GRACE_SECONDS: Final = 5


def main() -> None:
    """Prepare and serve until a signal."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    _have_staff(
        os.environ.pop("DJANGO_SUPERUSER_USERNAME", ""),
        os.environ.pop("DJANGO_SUPERUSER_PASSWORD", ""),
    )
    sys.exit(_serve(int(sys.argv[1])))


def _serve(port: int) -> int:
    from gateway_project.server.config import Farewell  # noqa: PLC0415 - needs settings
    from gateway_project.server.run import from_settings, serve  # noqa: PLC0415 - needs settings

    farewell = Farewell(notice_seconds=0, drain_seconds=_GRACE_SECONDS, kept_seconds=0)
    return serve(
        from_settings(
            host="127.0.0.1", port=port, workers=1, farewell=farewell, log_level="warning"
        )
    )


def _have_staff(username: str, password: str) -> None:
    from accounts.models import User  # noqa: PLC0415 - needs loaded apps

    if username and not User.objects.filter(is_superuser=True).exists():
        User.objects.create_superuser(username, password)


if __name__ == "__main__":
    main()
