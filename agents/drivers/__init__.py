"""The two ways to have agents managed: by the gateway itself, or by a remote AMS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from agents.drivers.local import LocalManager
from agents.drivers.remote import RemoteManager

if TYPE_CHECKING:
    from agents.drivers.interface import AgentManager


def template_keeper() -> RemoteManager | None:
    """Return who keeps templates, None for the gateway itself."""
    return RemoteManager(settings.AMS_BASE_URL) if settings.AMS_BASE_URL else None


def manager() -> AgentManager:
    """Return the driver that the settings name: local, unless there is an ``AMS_BASE_URL``."""
    return template_keeper() or LocalManager()
