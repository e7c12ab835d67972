"""What stands behind the gateway, as far as may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings

from gateway_project.routes import prefix_of
from gateway_project.system.circuits import circuits

if TYPE_CHECKING:
    from gateway_project.system.readiness import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service behind the gateway.

    Attributes:
        name: also of its probe.
        serves: what callers reach through it.
        setting: the beginning of the names of its settings.
    """

    name: str
    serves: str
    setting: str

    @property
    def base_url(self) -> str:
        """Where it is, empty when it is not configured."""
        return str(getattr(settings, f"{self.setting}_BASE_URL"))


SERVICES = (
    Service(
        name="litellm",
        serves="models: the OpenAI API through a LiteLLM proxy",
        setting="LITELLM",
    ),
    Service(
        name="letta",
        serves="agents: the V1 API of a self-hosted Letta server 0.16.8",
        setting="LETTA",
    ),
)


def described() -> list[dict[str, object]]:
    """Return what anybody may know."""
    return [
        {
            "name": service.name,
            "serves": service.serves,
            "prefix": prefix_of(service.name),
            "is_configured": bool(service.base_url),
        }
        for service in SERVICES
    ]


def examined(report: Report) -> list[dict[str, object]]:
    """Return what staff may know: addresses without credentials, limits, and what probes found."""
    return [
        {
            **described_one,
            "address": _without_credentials(service.base_url),
            "timeout_seconds": getattr(settings, f"{service.setting}_TIMEOUT"),
            "max_concurrent": getattr(settings, f"{service.setting}_MAX_CONCURRENT"),
            "checks": [
                finding for finding in report.findings if finding.name.startswith(service.name)
            ],
            "circuits": [one for one in circuits() if one.name.startswith(service.name)],
        }
        for service, described_one in zip(SERVICES, described(), strict=True)
    ]


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
