"""Letta's lists, page after page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_core.errors import UpstreamAnswerInvalid
from letta_proxy.direct.calls import call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID


def items(user_id: UUID, target: str, *, page_size: int, **query: Any) -> Iterator[dict[str, Any]]:
    """Yield what a list has, each page when the one before it is done with.

    Raises:
        UpstreamAnswerInvalid: it is no list.
        GatewayError: as ``direct.calls.call`` says.
    """
    query["limit"] = page_size
    while True:
        page = call(user_id, "GET", target, params=query)
        if not isinstance(page, list):
            raise UpstreamAnswerInvalid
        yield from page
        if len(page) < page_size:
            return
        query["after"] = page[-1]["id"]
