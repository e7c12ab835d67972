"""The keys that the audit trail is signed with: Ed25519, named by the hash of their public half."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNATURE_BYTES: Final = 64

_KEY_ID_DIGITS: Final = 16
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}").fullmatch


class Signer:
    """Signs with one key.

    Args:
        seed: the 32 bytes that the key is made of (RFC 8032, 5.1.5).
    """

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the signature."""
        return self._key.sign(message)


class PublicKeys:
    """Verifies with any of several keys.

    Args:
        keys: of 32 bytes each.
    """

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = {key_id(key): Ed25519PublicKey.from_public_bytes(key) for key in keys}

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def verify(self, name: str, signature: bytes, message: bytes) -> bool:
        """Say whether the key of this name has signed the message."""
        key = self._keys.get(name)
        if key is None:
            return False
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def key_id(public_key: bytes) -> str:
    """Return the name under which batches refer to a key."""
    return hashlib.sha256(public_key).hexdigest()[:_KEY_ID_DIGITS]


def parse_key(text: str) -> bytes:
    """Return the bytes of a seed or a public key.

    Raises:
        ValueError: it is not written as 64 hexadecimal digits.
    """
    if not _KEY(text):
        raise ValueError("it is not 64 hexadecimal digits")
    return bytes.fromhex(text)


@cache
def signer() -> Signer:
    """Return the signer with the newest of AUDIT_SIGNING_KEY."""
    return _signers()[0]


@cache
def own_public_keys() -> tuple[bytes, ...]:
    """Return the public keys of AUDIT_SIGNING_KEY, the newest first, and AUDIT_PUBLIC_KEYS."""
    try:
        former = tuple(parse_key(text) for text in settings.AUDIT_PUBLIC_KEYS)
    except ValueError as exc:
        raise ImproperlyConfigured(f"A key in AUDIT_PUBLIC_KEYS is no good: {exc}.") from exc
    return tuple(one.public_key for one in _signers()) + former


def _signers() -> list[Signer]:
    try:
        seeds = [parse_key(text) for text in settings.AUDIT_SIGNING_KEYS]
    except ValueError as exc:
        raise ImproperlyConfigured(f"A key in AUDIT_SIGNING_KEY is no good: {exc}.") from exc
    return [Signer(seed) for seed in seeds or [_development_seed()]]


def _development_seed() -> bytes:
    if settings.IS_PRODUCTION:
        raise ImproperlyConfigured("Set AUDIT_SIGNING_KEY.")
    return hashlib.sha256(b"gateway audit trail\0" + settings.SECRET_KEY.encode()).digest()


@receiver(setting_changed)
def _begin_anew(*, setting: str, **_context: Any) -> None:
    if setting in {"AUDIT_SIGNING_KEYS", "AUDIT_PUBLIC_KEYS", "SECRET_KEY", "IS_PRODUCTION"}:
        signer.cache_clear()
        own_public_keys.cache_clear()
