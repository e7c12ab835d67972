"""A link of the chain: what was stored together, hashed, tied to the link before it, and signed.

Nothing here needs Django or a database: an export is verified with this, too.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from gateway_core.audit.keys import SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_core.audit.keys import PublicKeys, Signer

FIRST_PREVIOUS: Final = "0" * 64

_PURPOSE: Final = "gateway audit batch 1"
_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})").fullmatch


class Kind(StrEnum):
    """Why a batch was added."""

    EVENTS = "events"
    # Somebody was erased from these events; it says what they say now.
    ERASURE = "erasure"
    # A month was dropped; it has no events.
    RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain at some time: kept elsewhere, it proves later that nothing was cut off."""

    sequence: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``17:9f86d081…``.

        Raises:
            ValueError: it is none.
        """
        match = _HEAD(text.strip().lower())
        if match is None:
            raise ValueError(f"{text!r} is no head: it reads number:64 hexadecimal digits")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One link.

    Attributes:
        sequence: 1 for the first, without gaps.
        kind: a ``Kind``.
        at: when it was sealed, as ``leaves.text_of`` says it.
        events: how many.
        digests: by month, ``{"events": number, "digest": hash of their leaves in order of ids}``;
            so a month can be dropped without the others' losing their proof.
        notes: the ``month`` that was dropped; the sequence of the ``first`` batch of the chain
            since then, and the hash ``previous`` to it.
        previous: hash of the link before; zeros for the first.
        key_id: names the key of the signature.
    """

    sequence: int
    kind: str
    at: str
    events: int
    digests: Mapping[str, Any]
    notes: Mapping[str, Any]
    previous: str
    key_id: str
    hash: str = ""
    signature: str = ""

    @property
    def head(self) -> Head:
        """The chain's head while this is the last link."""
        return Head(self.sequence, self.hash)

    def signed(self, signer: Signer) -> Batch:
        """Return it with hash and signature."""
        digest = self.computed_hash()
        signature = signer.sign(_message(digest)).hex()
        return replace(self, hash=digest, signature=signature)

    def computed_hash(self) -> str:
        """Return what the hash has to be."""
        content = [
            *(_PURPOSE, self.sequence, self.kind, self.at, self.events),
            *(self.digests, self.notes, self.previous, self.key_id),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def fault(self, keys: PublicKeys) -> str | None:
        """Say what is wrong with this link by itself."""
        if self.hash != self.computed_hash():
            return "was changed: its hash is another"
        if self.key_id not in keys:
            return f"is signed with the key {self.key_id}, which is not among the public keys"
        if not _is_hexadecimal(self.signature):
            return "has no signature"
        if not keys.verify(self.key_id, bytes.fromhex(self.signature), _message(self.hash)):
            return "was not signed by its key"
        return None


def _message(digest: str) -> bytes:
    return f"{_PURPOSE}\n{digest}".encode()


def _is_hexadecimal(text: Any) -> bool:
    return isinstance(text, str) and bool(re.fullmatch(f"[0-9a-f]{{{2 * SIGNATURE_BYTES}}}", text))
