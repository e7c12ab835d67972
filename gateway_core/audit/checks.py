"""Says at start, not at the first lost event, that the spool can't be written."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register  # noqa: A004 - Django's name


@register()
def spool_directory_is_writable(**_options: Any) -> list[CheckMessage]:
    """Look at the directory, or at the place where it will be made."""
    directory = settings.AUDIT_SPOOL_DIR
    place = next(path for path in (directory, *directory.parents) if path.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return []
    return [
        Warning(
            f"Audit events would be lost: {place} is no directory that this process can write to.",
            hint="Point AUDIT_SPOOL_DIR to a directory on a disk that outlives the process.",
            id="audit.W001",
        )
    ]
