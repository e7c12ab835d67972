"""Secrets at rest: AES-256-GCM under a list of keys, each token bound to the row it is stored in.

A token reads ``v1.<key id>.<base64url of nonce and ciphertext>``. Its row is associated data: what
is copied to another row does not open there. Nothing but the text that was encrypted is ever
returned.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from functools import cache
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from gateway_core.errors import InternalError

KEY_BYTES: Final = 32

_VERSION: Final = "v1"
# Where a key's name stands in a token, counted from 0, and how long it is.
ID_AT: Final = len(_VERSION) + 1
ID_CHARACTERS: Final = 8

# The size that AES-GCM is defined for; random, so good for 2**32 texts under one key
# (NIST SP 800-38D, 8.3).
_NONCE_BYTES: Final = 12
_HEX_KEY: Final = re.compile(r"[0-9a-fA-F]{64}").fullmatch
_TOKEN: Final = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]+)", re.ASCII).fullmatch


class SecretUnreadable(InternalError):
    """A stored secret does not open.

    Args:
        reason: why, for the log; it holds no part of the secret.
    """

    detail = "A stored secret can't be read. Quote the request id to support."

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class SecretBox:
    """Encrypts with the first key, decrypts with any.

    Args:
        keys: of 32 bytes each, the newest first.
    """

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.key_ids = tuple(self._ciphers)

    def encrypt(self, text: str, bound_to: str) -> str:
        """Return the token of a text that is stored in the row ``bound_to``."""
        nonce = os.urandom(_NONCE_BYTES)
        newest = self.key_ids[0]
        encrypted = self._ciphers[newest].encrypt(nonce, text.encode(), bound_to.encode())
        return beginning(newest) + _encode(nonce + encrypted)

    def decrypt(self, token: str, bound_to: str) -> str:
        """Return the text of a token from the row ``bound_to``.

        Raises:
            SecretUnreadable: it is no token, its key is not in the list, it was changed, or it was
                encrypted for another row.
        """
        name, content = _parts(token)
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SecretUnreadable(f"no key in ENCRYPTION_KEYS has the id {name}")
        encrypted = _decode(content)
        try:
            opened = cipher.decrypt(
                encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], bound_to.encode()
            )
        except (InvalidTag, ValueError) as exc:
            raise SecretUnreadable("it was changed, or encrypted for another row") from exc
        return opened.decode()


def encrypt(text: str, bound_to: str) -> str:
    """Encrypt with the newest key of ENCRYPTION_KEYS; see ``SecretBox.encrypt``."""
    return _box().encrypt(text, bound_to)


def decrypt(token: str, bound_to: str) -> str:
    """Decrypt with the keys of ENCRYPTION_KEYS; see ``SecretBox.decrypt``."""
    return _box().decrypt(token, bound_to)


def known_key_ids() -> tuple[str, ...]:
    """Return the names of the keys of ENCRYPTION_KEYS, the newest first."""
    return _box().key_ids


def key_id_of(token: str) -> str:
    """Return the name of the key that a token is encrypted under.

    Raises:
        SecretUnreadable: it is no token.
    """
    return _parts(token)[0]


def key_id(key: bytes) -> str:
    """Return the name under which tokens refer to a key."""
    return hashlib.sha256(key).hexdigest()[:ID_CHARACTERS]


def beginning(key_id: str) -> str:
    """Return what the tokens begin with that are encrypted under the key of that name."""
    return f"{_VERSION}.{key_id}."


def parse_key(text: str) -> bytes:
    """Return the bytes of a key written as 64 hexadecimal digits or in base64.

    Raises:
        ValueError: it is neither, or not 32 bytes long.
    """
    if _HEX_KEY(text):
        return bytes.fromhex(text)
    try:
        key = _base64(text)
    except binascii.Error as exc:
        raise ValueError("it is neither base64 nor 64 hexadecimal digits") from exc
    if len(key) != KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes instead of {KEY_BYTES}")
    return key


@cache
def _box() -> SecretBox:
    try:
        keys = tuple(parse_key(text) for text in settings.ENCRYPTION_KEYS)
    except ValueError as exc:
        raise ImproperlyConfigured(f"A key in ENCRYPTION_KEYS is no good: {exc}.") from exc
    return SecretBox(keys or (_development_key(),))


def _development_key() -> bytes:
    if settings.IS_PRODUCTION:
        raise ImproperlyConfigured("Set ENCRYPTION_KEYS.")
    return hashlib.sha256(b"gateway secrets at rest\0" + settings.SECRET_KEY.encode()).digest()


def _parts(token: str) -> tuple[str, str]:
    """Return the key id and the encrypted content of a token."""
    match = _TOKEN(token)
    if match is None:
        raise SecretUnreadable(f"it is not a {_VERSION} token")
    return match[1], match[2]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        data = _base64(text)
    except binascii.Error as exc:
        raise SecretUnreadable("it is not base64") from exc
    if _encode(data) != text:
        # The last character has bits that decoding ignores: one secret has one token.
        raise SecretUnreadable("it was changed")
    return data


def _base64(text: str) -> bytes:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


@receiver(setting_changed)
def _begin_anew(*, setting: str, **_context: Any) -> None:
    if setting in {"ENCRYPTION_KEYS", "SECRET_KEY", "IS_PRODUCTION"}:
        _box.cache_clear()
