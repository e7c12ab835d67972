"""Settings of this app that can't work, found before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.checks import Error, Tags, register

from gateway_core.crypto import KEY_BYTES, key_id, parse_key
from llm_proxy.virtual_keys.checks import check_encrypted_values

__all__ = ("check_agent_secrets", "check_encrypted_values", "check_encryption_keys")

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HINT: Final = "Make one: openssl rand -base64 32. Put it first and keep the older ones behind it."


@register(Tags.security)
def check_encryption_keys(**_options: Any) -> list[Error]:
    """Return what is wrong with the keys that secrets are stored under.

    That production has any is checked with the other things that it can't do without.
    """
    return list(_faults("ENCRYPTION_KEYS", settings.ENCRYPTION_KEYS, "E001", "E002"))


@register(Tags.security)
def check_agent_secrets(**_options: Any) -> list[Error]:
    """Return what is wrong with the keys that agent secrets are derived from."""
    keys = settings.AGENT_SECRET_MASTER_KEYS
    faults = list(_faults("AGENT_SECRET_MASTER_KEY", keys, "E003", "E004"))
    if settings.IS_PRODUCTION and not keys:
        faults.append(
            Error(
                "AGENT_SECRET_MASTER_KEY is not set: agents can't call models.",
                hint="Make a key: openssl rand -hex 32.",
                id="llm_proxy.E005",
            )
        )
    return faults


def _faults(name: str, keys: Iterable[str], malformed_id: str, repeated_id: str) -> Iterator[Error]:
    ids: list[str] = []
    for place, text in enumerate(keys, start=1):
        try:
            ids.append(key_id(parse_key(text)))
        except ValueError as exc:
            yield Error(
                f"Key {place} of {name} is no key of {KEY_BYTES} bytes: {exc}.",
                hint=_HINT,
                id=f"llm_proxy.{malformed_id}",
            )
    if len(set(ids)) < len(ids):
        yield Error(
            f"{name} has the same key twice.",
            hint="Remove one of them; what was made with it stays good.",
            id=f"llm_proxy.{repeated_id}",
        )
