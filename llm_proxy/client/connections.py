"""LiteLLM as this process has it."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from gateway_core.http import UpstreamClient
from gateway_core.upstream import Timeouts, Upstream, with_limits

# Beside those of the route's cap: for the calls that the gateway makes itself.
_OWN_CONNECTIONS: Final = 32


@cache
def upstream() -> Upstream:
    """Return LiteLLM as this process has it."""
    client = UpstreamClient(
        name="litellm",
        base_url=settings.LITELLM_BASE_URL,
        connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
        max_connections=settings.LITELLM_MAX_CONCURRENT + _OWN_CONNECTIONS,
    )
    return with_limits(client, slots=lambda: settings.LITELLM_MAX_CONCURRENT, timeouts=_timeouts)


def _timeouts() -> Timeouts:
    return Timeouts(
        first_byte=settings.UPSTREAM_FIRST_BYTE_TIMEOUT,
        idle=settings.UPSTREAM_IDLE_TIMEOUT,
        total=settings.LITELLM_TIMEOUT,
    )


async def close() -> None:
    """Close those of the running event loop."""
    await upstream().close()


@receiver(setting_changed)
def _begin_anew(*, setting: str, **_context: Any) -> None:
    if setting.startswith(("LITELLM_", "UPSTREAM_")):
        upstream.cache_clear()
