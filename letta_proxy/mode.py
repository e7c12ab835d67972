"""Which kind of Letta stands behind the gateway."""

from __future__ import annotations

from typing import Final

from django.conf import settings

SELF_HOSTED: Final = "self-hosted"
CLOUD: Final = "cloud"


def has_provider() -> bool:
    """Whether agents call their models at the gateway, each at the expense of its user."""
    return bool(settings.GATEWAY_INTERNAL_URL) and not is_cloud()


def is_cloud() -> bool:
    """Whether it is Letta Cloud, where one organization holds what all users have."""
    return bool(settings.LETTA_MODE == CLOUD)
