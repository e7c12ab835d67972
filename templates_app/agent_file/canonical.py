"""What a checksum is taken over, so that it says the same whoever takes it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import rfc8785


def checksum(document: Any) -> str:
    """Return the SHA-256 of a document's canonical JSON (RFC 8785) as 64 hexadecimal digits.

    Order of members, blanks, comments and YAML or JSON make no difference to it.
    """
    return sha256(rfc8785.dumps(document)).hexdigest()
