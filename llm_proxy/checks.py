"""Settings of this app that can't work, found before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.checks import Error, Tags, register

from gateway_core.crypto import KEY_BYTES, key_id, parse_key

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINT: Final = "Make one: openssl rand -base64 32. Put it first and keep the older ones behind it."


@register(Tags.security)
def check_encryption_keys(**_options: Any) -> list[Error]:
    """Return what is wrong with the keys that secrets are stored under.

    That production has any is checked with the other things that it can't do without.
    """
    return list(_faults())


def _faults() -> Iterator[Error]:
    ids: list[str] = []
    for place, text in enumerate(settings.ENCRYPTION_KEYS, start=1):
        try:
            ids.append(key_id(parse_key(text)))
        except ValueError as exc:
            yield Error(
                f"Key {place} of ENCRYPTION_KEYS is no key of {KEY_BYTES} bytes: {exc}.",
                hint=_HINT,
                id="llm_proxy.E001",
            )
    if len(set(ids)) < len(ids):
        yield Error(
            "ENCRYPTION_KEYS has the same key twice.",
            hint="Remove one of them; what was sealed under it stays readable.",
            id="llm_proxy.E002",
        )
