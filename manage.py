#!/usr/bin/env python
"""Django's command line. It needs no set-up: without DATABASE_URL the sandbox's engines run."""

from __future__ import annotations

import os
import sys

# Everything else may want the database, if only to look whether its migrations are done.
_WITHOUT_DATABASE = {"help", "check", "spectacular", "collectstatic", "diffsettings"}


def main() -> None:
    """Run a command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    try:
        import django  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        where = "in a checkout .venv/bin/python, which `make run` makes"
        sys.exit(f"{sys.executable} lacks what requirements/base.txt lists; {where}, has it.")
    if os.environ.get("ENVIRONMENT") != "production":
        from gateway_project.sandbox.environment import prepare_for_command  # noqa: PLC0415

        # An export of the audit trail is verified anywhere.
        is_alone = _WITHOUT_DATABASE.intersection(sys.argv[1:2]) or "--export" in sys.argv
        prepare_for_command(with_engines=not is_alone)
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415
    from django.core.management import execute_from_command_line  # noqa: PLC0415
    from django.db import OperationalError, ProgrammingError  # noqa: PLC0415

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, OperationalError, ProgrammingError) as exc:
        reason = _reason(exc)
        if not reason or "--traceback" in sys.argv:
            raise
        sys.exit(reason)


def _reason(exc: Exception) -> str:
    """Return what whoever set this up can do about it; empty for what is a fault of ours."""
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415
    from django.db import OperationalError  # noqa: PLC0415
    from psycopg.errors import UndefinedColumn, UndefinedTable  # noqa: PLC0415

    if isinstance(exc, ImproperlyConfigured):
        return str(exc)
    if isinstance(exc, OperationalError):
        return f"The database of DATABASE_URL: {exc}".rstrip()
    if isinstance(exc.__cause__, UndefinedColumn | UndefinedTable):
        return "The database is not as this release needs it. Run: manage.py migrate"
    return ""


if __name__ == "__main__":
    main()
