"""Says at start, not at the first lost event, what events need and do not have."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 - Django's

from gateway_core.audit.keys import parse_key


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


@register()
def signing_keys_are_good(**_options: Any) -> list[CheckMessage]:
    """Look at AUDIT_SIGNING_KEY and AUDIT_PUBLIC_KEYS."""
    messages: list[CheckMessage] = []
    if settings.IS_PRODUCTION and not settings.AUDIT_SIGNING_KEYS:
        messages.append(
            Error(
                "AUDIT_SIGNING_KEY is not set: no audit event can be stored.",
                hint="Set it to the output of: openssl rand -hex 32",
                id="audit.E001",
            )
        )
    for name in ("AUDIT_SIGNING_KEY", "AUDIT_PUBLIC_KEYS"):
        keys = settings.AUDIT_SIGNING_KEYS if "SIGN" in name else settings.AUDIT_PUBLIC_KEYS
        if not all(_is_key(key) for key in keys):
            messages.append(
                Error(
                    f"{name} holds something that is no key.",
                    hint="Each is 64 hexadecimal digits, with commas between them.",
                    id="audit.E002",
                )
            )
    return messages


def _is_key(text: str) -> bool:
    try:
        parse_key(text)
    except ValueError:
        return False
    return True
