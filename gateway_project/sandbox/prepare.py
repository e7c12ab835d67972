"""Bring the database up to date and have somebody who can sign in to the admin.

    python -m gateway_project.sandbox.prepare

Prints the username when the password in ``STAFF_PASSWORD`` is that person's.
"""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command

_USERNAME = "admin"


def main() -> None:
    """Do both."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    from accounts.models import User  # noqa: PLC0415 - needs loaded apps

    if not User.objects.filter(is_superuser=True).exists():
        User.objects.create_superuser(_USERNAME, os.environ["STAFF_PASSWORD"])
    if User.objects.filter(username=_USERNAME, is_superuser=True).exists():
        sys.stdout.write(_USERNAME)


if __name__ == "__main__":
    main()
