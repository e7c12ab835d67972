"""What Letta proves itself with when an agent of a user's calls a model.

A secret reads ``gws_`` and, in base64url, the user's id (16 bytes), its version (4 bytes) and an
HMAC-SHA256 of both (32 bytes) under a master key. So each is good for one user only, and nothing of
it is stored but the version. One that was not derived here is told without asking the database.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from gateway_core.crypto import parse_key

PREFIX: Final = "gws_"

_DOMAIN: Final = b"gateway agent secret\0"
_CLAIM: Final = struct.Struct(">16sI")
_CHARACTERS: Final = len(PREFIX) + 70


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose a secret is, and which one of theirs."""

    user_id: UUID
    version: int


def secret_of(claim: Claim) -> str:
    """Return the secret, derived from the newest master key."""
    return _secret(_master_keys()[0], claim)


def claim_of(token: bytes) -> Claim | None:
    """Return what a secret says, None for what none of the master keys has made."""
    claim = _read(token)
    if claim is None:
        return None
    rights = [hmac.compare_digest(_secret(key, claim).encode(), token) for key in _master_keys()]
    return claim if any(rights) else None


def _secret(key: bytes, claim: Claim) -> str:
    said = _CLAIM.pack(claim.user_id.bytes, claim.version)
    proof = hmac.digest(key, _DOMAIN + said, hashlib.sha256)
    return PREFIX + base64.urlsafe_b64encode(said + proof).rstrip(b"=").decode()


def _read(token: bytes) -> Claim | None:
    if len(token) != _CHARACTERS or not token.startswith(PREFIX.encode()):
        return None
    try:
        data = base64.urlsafe_b64decode(token[len(PREFIX) :] + b"==")
    except binascii.Error:
        return None
    if len(data) < _CLAIM.size:
        return None
    user_id, version = _CLAIM.unpack_from(data)
    return Claim(UUID(bytes=user_id), version)


@cache
def _master_keys() -> tuple[bytes, ...]:
    try:
        keys = tuple(parse_key(text) for text in settings.AGENT_SECRET_MASTER_KEYS)
    except ValueError as exc:
        raise ImproperlyConfigured(f"A key in AGENT_SECRET_MASTER_KEY is no good: {exc}.") from exc
    return keys or (_development_key(),)


def _development_key() -> bytes:
    if settings.IS_PRODUCTION:
        raise ImproperlyConfigured("Set AGENT_SECRET_MASTER_KEY.")
    return hashlib.sha256(b"gateway agent secrets\0" + settings.SECRET_KEY.encode()).digest()


@receiver(setting_changed)
def _begin_anew(*, setting: str, **_context: Any) -> None:
    if setting in {"AGENT_SECRET_MASTER_KEYS", "SECRET_KEY", "IS_PRODUCTION"}:
        _master_keys.cache_clear()
