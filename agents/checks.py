"""Settings of this app that can't work, found before the first request."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Error, Tags, register


@register(Tags.security)
def check_ams_settings(**_options: Any) -> list[Error]:
    """Return what is wrong with the address of a remote AMS."""
    found: list[Error] = []
    if not settings.AMS_BASE_URL:
        return found
    if urlsplit(settings.AMS_BASE_URL).scheme not in {"http", "https"}:
        found.append(
            Error(
                "AMS_BASE_URL is not an http or https address.",
                hint="Write it with its scheme; leave it empty to have agents managed here.",
                id="agents.E001",
            )
        )
    if not settings.AMS_API_KEY:
        found.append(
            Error(
                "AMS_BASE_URL is set and AMS_API_KEY is not.",
                hint="Set it to the key that the remote AMS knows the gateway by.",
                id="agents.E002",
            )
        )
    return found
