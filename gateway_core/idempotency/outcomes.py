"""How a request ended, as far as it matters for the same one again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

REPLAYED_HEADER: Final = "Idempotent-Replayed"
# Everything else is about one exchange, not about what was done.
_KEPT: Final = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "deprecation",
        "etag",
        "last-modified",
        "link",
        "location",
        "sunset",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that says that the work was done.

    Attributes:
        headers: names and values of those that are given again.
        body: None when it can't be kept: it was streamed, or too large.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]], body: bytes | None) -> Self:
        """Return the answer with those of its headers that are worth keeping."""
        kept = tuple(pair for pair in headers if pair[0].lower() in _KEPT)
        return cls(status=status, headers=kept, body=body)

    def encode(self) -> str:
        """Return headers and body as one text; ``decode`` is the way back."""
        # Latin-1 has a character for each byte, so any body can be in a JSON text.
        body = (self.body or b"").decode("latin-1")
        return orjson.dumps({"headers": self.headers, "body": body}).decode()

    @classmethod
    def decode(cls, status: int, text: str) -> Self:
        """Return the answer that ``encode`` made a text of."""
        kept: dict[str, Any] = orjson.loads(text)
        headers = tuple((name, value) for name, value in kept["headers"])
        return cls(status=status, headers=headers, body=kept["body"].encode("latin-1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error answer.

    Attributes:
        nothing_done: it is certain that nothing was done, or that nothing is left of it.
    """

    status: int
    code: str
    nothing_done: bool
