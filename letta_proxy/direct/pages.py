"""Letta's lists, page after page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_core.errors import UpstreamAnswerInvalid, UpstreamAnswerTooLong
from letta_proxy.direct.calls import call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID


def items(user_id: UUID, target: str, *, page_size: int, **query: Any) -> Iterator[dict[str, Any]]:
    """Yield what a list has, each page when the one before it is done with.

    Pages that are longer than an answer may be are asked for in halves, down to single things.

    Raises:
        UpstreamAnswerTooLong: one thing alone is.
        UpstreamAnswerInvalid: it is no list.
        GatewayError: as ``direct.calls.call`` says.
    """
    query["limit"] = page_size
    while True:
        try:
            page = call(user_id, "GET", target, params=query)
        except UpstreamAnswerTooLong:
            if query["limit"] == 1:
                raise
            query["limit"] //= 2
            continue
        if not isinstance(page, list):
            raise UpstreamAnswerInvalid
        yield from page
        if len(page) < query["limit"]:
            return
        query["after"] = page[-1]["id"]
