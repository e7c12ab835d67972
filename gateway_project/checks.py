"""Settings that can't work, or should not in production, found before the first request."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

if TYPE_CHECKING:
    from collections.abc import Iterator

# What production can't do without: setting, number, what goes wrong, what to do.
_REQUIRED: Final = (
    (
        "DATABASE_URL",
        "E001",
        "there is no database",
        "Set it to postgresql://user:password@host:5432/name.",
    ),
    (
        "REDIS_URL",
        "E002",
        "what processes share, each would keep for itself",
        "Set it to redis://host:6379/0 of a Valkey or Redis.",
    ),
    (
        "LITELLM_MASTER_KEY",
        "E003",
        "no virtual key can be made, so no model can be called",
        "Copy the master key of the LiteLLM proxy.",
    ),
    (
        "LITELLM_BASE_URL",
        "E012",
        "there are no models",
        "Set it to the address of the LiteLLM proxy, like http://litellm:4000.",
    ),
    (
        "LETTA_API_KEY",
        "E004",
        "Letta would have to be open to anybody",
        "Set it and LETTA_SERVER_PASSWORD of the Letta server, with LETTA_SERVER_SECURE=true.",
    ),
    (
        "LETTA_BASE_URL",
        "E013",
        "there are no agents",
        "Set it to the address of the Letta server, like http://letta:8283.",
    ),
    (
        "ALLOWED_HOSTS",
        "E005",
        "every request to the control plane is refused",
        "List the host names that the gateway is called by, with commas between them.",
    ),
    (
        "ENCRYPTION_KEYS",
        "E006",
        "virtual keys can't be stored",
        "See env.example for the form and a command that makes one.",
    ),
)
_UPSTREAMS: Final = (
    "LITELLM_BASE_URL",
    "LETTA_BASE_URL",
    "AMS_BASE_URL",
    "GATEWAY_INTERNAL_URL",
)
_SECRET_KEY_MIN_LENGTH: Final = 50
_SECRET_KEY_MIN_CHARACTERS: Final = 10


@register(Tags.security)
def check_production(**_options: Any) -> list[CheckMessage]:
    """Return what production lacks."""
    if not settings.IS_PRODUCTION:
        return []
    return [*_missing(), *_secret_key(), *_debug(), *_metrics(), *_tls()]


@register(Tags.urls)
def check_upstreams(**_options: Any) -> list[CheckMessage]:
    """Return what is wrong with the addresses of the upstreams, and of the way back from Letta."""
    return [message for name in _UPSTREAMS for message in _upstream(name)]


@register(Tags.security)
def check_origins(**_options: Any) -> list[CheckMessage]:
    """Return which of the origins that may call the API no browser would ever name, or any."""
    return [message for origin in settings.ALLOWED_ORIGINS for message in _origin(origin)]


@register(Tags.security)
def check_memory(**_options: Any) -> list[CheckMessage]:
    """Return whether the bound on the container's memory would come too late."""
    if settings.MAX_MEMORY_PART < 1:
        return []
    return [
        Error(
            f"MAX_MEMORY_PART is {settings.MAX_MEMORY_PART:g}: the kernel would end the process "
            "before it refuses anything.",
            hint="Write a part of one, like 0.85, or 0 to do without.",
            id="gateway.E011",
        )
    ]


def _missing() -> Iterator[CheckMessage]:
    for name, number, consequence, hint in _REQUIRED:
        if not getattr(settings, name):
            yield Error(f"{name} is not set: {consequence}.", hint=hint, id=f"gateway.{number}")


def _secret_key() -> Iterator[CheckMessage]:
    key = settings.SECRET_KEY
    is_long = len(key) >= _SECRET_KEY_MIN_LENGTH
    if not is_long or len(set(key)) < _SECRET_KEY_MIN_CHARACTERS or key.startswith("development"):
        yield Error(
            "DJANGO_SECRET_KEY can be guessed.",
            hint=(
                "Make one: python -c 'from django.core.management.utils import "
                "get_random_secret_key as make; print(make())'"
            ),
            id="gateway.E007",
        )


def _debug() -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield Error(
            "DEBUG is on in production: error pages would show settings and source.",
            hint="Leave DEBUG out.",
            id="gateway.E008",
        )


def _metrics() -> Iterator[CheckMessage]:
    if settings.ENABLE_METRICS and not settings.METRICS_TOKEN:
        yield Warning(
            "METRICS_TOKEN is not set: anybody may read /metrics.",
            hint="Set it and give it to Prometheus as a bearer token, or set ENABLE_METRICS=false.",
            id="gateway.W001",
        )


def _tls() -> Iterator[CheckMessage]:
    if not (settings.SECURE_HSTS_SECONDS and settings.SECURE_SSL_REDIRECT):
        yield Warning(
            "Browsers may speak to the gateway without TLS, and show a password on the way.",
            hint="Leave out SECURE_HSTS_SECONDS and SECURE_SSL_REDIRECT.",
            id="gateway.W003",
        )


def _upstream(name: str) -> Iterator[CheckMessage]:
    url = getattr(settings, name)
    if not url:
        return
    if not _is_base_url(url):
        yield Error(
            f"{name} is not the address of a server.",
            hint="Write scheme, host and port, like http://127.0.0.1:4000, without user or query.",
            id="gateway.E009",
        )
    elif urlsplit(url).scheme == "http" and not _is_private(urlsplit(url).hostname or ""):
        yield Warning(
            f"{name} goes over the network without TLS, with the gateway's credential.",
            hint="Use https, or a private address.",
            id="gateway.W002",
        )


def _origin(origin: str) -> Iterator[CheckMessage]:
    if not _is_base_url(origin) or origin != _written_by_browsers(origin):
        yield Error(
            f"{origin!r} in ALLOWED_ORIGINS is not an origin as browsers write it.",
            hint="Write scheme and host in small letters, and a port unless it is the usual one.",
            id="gateway.E010",
        )


def _written_by_browsers(origin: str) -> str:
    parts = urlsplit(origin)
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port not in {None, usual} else ""
    return f"{parts.scheme}://{host}{port}"


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    has_more = parts.username is not None or bool(parts.query) or bool(parts.fragment)
    return parts.scheme in ("http", "https") and has_place and not has_more


def _is_private(host: str) -> bool:
    """Say whether a host is inside: by address, or by a name without a public suffix."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".svc", ".localhost"))
