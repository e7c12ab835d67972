"""What makes two requests the same one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway_core.errors import RequestMalformed

if TYPE_CHECKING:
    from uuid import UUID

HEADER: Final = "Idempotency-Key"
LONGEST_KEY: Final = 255
_PRINTABLE: Final = re.compile(rf"[ -~]{{1,{LONGEST_KEY}}}").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRequest:
    """A request that came with a key.

    Attributes:
        route: method and path, ids included: a key means something on one route only.
        key: as the caller sent it; the quotes that the IETF draft puts around it are a part of it.
        fingerprint: what of the rest must be the same when the request is sent again.
    """

    user_id: UUID
    route: str
    key: str
    fingerprint: str

    @property
    def scope(self) -> str:
        """What the table has one row for: the SHA-256 of user, key and route, in hexadecimal."""
        # The id has one length and the key no line end, so that the three can't run together.
        return sha256(f"{self.user_id}\n{self.key}\n{self.route}".encode()).hexdigest()


def read_key(header: str) -> str:
    """Return the key in a header's value.

    Raises:
        RequestMalformed: it is empty, too long, or not printable ASCII.
    """
    if _PRINTABLE(header) is None:
        raise RequestMalformed(
            f"{HEADER} must be 1 to {LONGEST_KEY} printable ASCII characters, like a UUID.",
            param=HEADER,
        )
    return header


def fingerprint(query: bytes, body: bytes) -> str:
    """Return the SHA-256 of query and body, in hexadecimal."""
    return sha256(b"%d\n%b%b" % (len(query), query, body)).hexdigest()
