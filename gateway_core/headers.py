"""Which headers cross the gateway. Both ways by allow-list: what is not named here stops here.

Nothing about identity, tenancy, routing or hops can pass, whatever it is called upstream:
``user_id``, ``x-litellm-*``, ``x-organization-id``, cookies, ``connection`` and what it names. Nor
can a value with control characters: servers fail at some, and read others as the end of a line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway_core.errors import MediaTypeUnsupported

if TYPE_CHECKING:
    from collections.abc import Iterable

    Pairs = Iterable[tuple[bytes, bytes]]

# The SDKs' own description of themselves; Letta decides by its version (measured: ``streaming:
# true`` is refused without ``X-Stainless-Package-Version`` >= 1.0).
_REQUEST_PREFIX: Final = b"x-stainless-"
_REQUEST: Final = frozenset(
    {b"accept", b"content-type", b"anthropic-version", b"anthropic-beta", b"last-event-id"}
)
_RESPONSE: Final = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "etag",
        "last-modified",
        "retry-after",
        "x-litellm-call-id",
        "x-litellm-response-cost",
    }
)
_IS_UNCLEAN: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


def request_headers(pairs: Pairs) -> dict[str, str]:
    """Return what of a caller's ASGI headers goes upstream. Of repeated fields the last counts."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in pairs
        if (name in _REQUEST or name.startswith(_REQUEST_PREFIX)) and not _IS_UNCLEAN(value)
    }


def response_headers(raw: Pairs) -> list[tuple[bytes, bytes]]:
    """Return what of an upstream's raw headers goes to the caller, names in lower case."""
    return [
        (lowered.encode("latin-1"), value)
        for name, value in raw
        if (lowered := name.decode("latin-1").lower()) in _RESPONSE and not _IS_UNCLEAN(value)
    ]


def refuse_encoded(pairs: Pairs) -> None:
    """Refuse a request whose body is compressed, which nobody here would unpack.

    Raises:
        MediaTypeUnsupported: it is.
    """
    encoding = first(pairs, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        raise MediaTypeUnsupported("Send the body as it is, without a Content-Encoding.")


def first(pairs: Pairs, name: bytes) -> bytes | None:
    """Return the value of the first header of that (lower-case) name."""
    for key, value in pairs:
        if key == name:
            return value
    return None
