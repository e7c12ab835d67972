"""The secrets of API keys: ``gwk_``, 43 random characters, and 6 that check the others.

The characters are digits and letters, so a double click takes all of it; 62**43 is above 2**256.
The last six are the CRC-32 of the random ones in base 62, most significant first: a scanner of
source code, and this gateway, can tell a secret from a mistyped or made-up one without asking
anybody. It proves nothing.

What is stored is the SHA-256. With that much chance in a secret there is nothing for a slow hash to
slow down; and as a secret is looked up by its hash, nothing is compared whose duration could tell
how much of it was right.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "gwk_"

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARACTERS: Final = 43
_CHECK_CHARACTERS: Final = 6
_HINT_CHARACTERS: Final = len(PREFIX) + 4
_FORM: Final = re.compile(rb"gwk_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", re.ASCII).fullmatch


def new_secret() -> str:
    """Return a secret that nobody has."""
    chance = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
    return f"{PREFIX}{chance}{_check(chance.encode())}"


def is_well_formed(token: bytes) -> bool:
    """Say whether it could be a secret."""
    match = _FORM(token)
    return match is not None and match[2].decode() == _check(match[1])


def hash_of(secret: bytes) -> str:
    """Return what is stored of a secret, as 64 hexadecimal digits."""
    return hashlib.sha256(secret).hexdigest()


def hint_of(secret: str) -> str:
    """Return the beginning of a secret, by which its owner knows it and nobody can guess it."""
    return secret[:_HINT_CHARACTERS]


def _check(chance: bytes) -> str:
    number = zlib.crc32(chance)
    digits = ""
    for _ in range(_CHECK_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
