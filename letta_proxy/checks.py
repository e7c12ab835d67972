"""Settings of this app that can't work, found before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name

from letta_proxy.mode import CLOUD, SELF_HOSTED

if TYPE_CHECKING:
    from collections.abc import Iterator

# Measured: these run code or fetch addresses for whoever talks to the agent.
DANGEROUS_TOOLS: Final = frozenset({"run_code", "run_code_with_tools", "fetch_webpage"})


@register(Tags.security)
def check_letta_settings(**_options: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings of the way to Letta."""
    return [*_address(), *_mode(), *_way_back(), *_limits(), *_tools()]


def _address() -> Iterator[CheckMessage]:
    if not settings.LETTA_BASE_URL:
        return
    if urlsplit(settings.LETTA_BASE_URL).scheme not in {"http", "https"}:
        yield Error(
            "LETTA_BASE_URL is not an http or https address.",
            hint="Write it with its scheme, like http://letta:8283.",
            id="letta_proxy.E001",
        )
    if not settings.LETTA_API_KEY:
        yield Error(
            "LETTA_BASE_URL is set and LETTA_API_KEY is not.",
            hint="Set it to Letta's server password; Letta must run with LETTA_SERVER_SECURE=true.",
            id="letta_proxy.E002",
        )


def _mode() -> Iterator[CheckMessage]:
    if settings.LETTA_MODE not in {SELF_HOSTED, CLOUD}:
        yield Error(
            f"LETTA_MODE is {settings.LETTA_MODE!r}, which is no kind of Letta.",
            hint=f"Set it to {SELF_HOSTED} or {CLOUD}.",
            id="letta_proxy.E004",
        )


def _way_back() -> Iterator[CheckMessage]:
    is_wanted = settings.LETTA_BASE_URL and settings.LETTA_MODE == SELF_HOSTED
    if settings.IS_PRODUCTION and is_wanted and not settings.GATEWAY_INTERNAL_URL:
        yield Error(
            "GATEWAY_INTERNAL_URL is not set: agents would spend on Letta's own key, and not on "
            "their users' budgets.",
            hint="Set it to the address at which the Letta server reaches this gateway.",
            id="letta_proxy.E005",
        )


def _limits() -> Iterator[CheckMessage]:
    if settings.LETTA_MAX_STEPS < 1:
        yield Error(
            "LETTA_MAX_STEPS is below 1, so no message could be sent.",
            hint="Letta's own default is 50.",
            id="letta_proxy.E003",
        )


def _tools() -> Iterator[CheckMessage]:
    dangerous = sorted(DANGEROUS_TOOLS.intersection(settings.LETTA_ALLOWED_TOOLS))
    if dangerous:
        yield Warning(
            f"LETTA_ALLOWED_TOOLS lets users' agents run code or fetch addresses: {dangerous}.",
            hint="Leave them out, unless Letta's sandbox and network are shut off from all else.",
            id="letta_proxy.W001",
        )
