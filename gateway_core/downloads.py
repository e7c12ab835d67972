"""Files that are sent as they come to be: a Django view holds a part of one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def download(parts: Iterator[bytes], *, name: str, content_type: str) -> StreamingHttpResponse:
    """Return the answer that sends a file, for the caller alone.

    Args:
        parts: none of them empty; each is asked for in the request's thread.
        name: that it is saved under.
    """
    return StreamingHttpResponse(
        _following(parts),
        content_type=content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


async def _following(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Django would gather all of a synchronous iterator before the first byte."""
    following = sync_to_async(lambda: next(parts, b""))
    while part := await following():
        yield part
