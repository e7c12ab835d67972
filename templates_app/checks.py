"""Settings of this app that can't work, found before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import Error, Tags, register

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMITS = (
    "MAX_TEMPLATE_BYTES",
    "MAX_BUNDLE_BYTES",
    "MAX_TEMPLATES_PER_USER",
    "MAX_VERSIONS_PER_TEMPLATE",
)


@register(Tags.compatibility)
def check_template_limits(**_options: Any) -> list[Error]:
    """Return what is wrong with the limits of templates."""
    return [*_too_small(), *_out_of_proportion()]


def _too_small() -> Iterator[Error]:
    for name in _LIMITS:
        if getattr(settings, name) < 1:
            yield Error(
                f"{name} is 0: nobody could publish a template.",
                hint="Leave it out, or set it to the largest number that you want.",
                id="templates_app.E001",
            )


def _out_of_proportion() -> Iterator[Error]:
    if settings.MAX_BUNDLE_BYTES < settings.MAX_TEMPLATE_BYTES:
        yield Error(
            "MAX_BUNDLE_BYTES is below MAX_TEMPLATE_BYTES: what is exported can't come back.",
            hint="A bundle holds all versions of a template.",
            id="templates_app.E002",
        )
