"""LiteLLM's keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.views.decorators.debug import sensitive_variables

from gateway_core.errors import UpstreamAnswerInvalid
from llm_proxy.client.calls import (
    MADE_BY,
    PAGE_SIZE,
    KeyUnknown,
    check,
    lacks,
    maker_of,
    member,
    pages,
    send,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What LiteLLM holds of a key.

    Attributes:
        made_by: the gateway that made it, empty for others.
        spend: US dollars in its budget period.
        resets_at: when that ends; None: never.
        row: all fields, by LiteLLM's names.
    """

    token_hash: str
    alias: str
    user_id: str
    made_by: str
    is_deleted: bool
    spend: float
    resets_at: datetime | None
    row: Mapping[str, Any]


@sensitive_variables("value", "wish")
async def generate_key(
    *, value: str, alias: str, terms: Mapping[str, Any], made_by: UUID, spend: float = 0.0
) -> None:
    """Make a key of that value, which may only call models.

    A default key could make and delete keys. Of calls at the same time for one value the first
    makes the row, and all succeed; a deleted value can be made again.

    Args:
        spend: US dollars that count as spent on its own budget.

    Raises:
        AliasTaken: a key has that alias, maybe this one.
    """
    wish = {
        "key": value,
        "key_alias": alias,
        "key_type": "llm_api",
        "metadata": {MADE_BY: str(made_by)},
        "spend": spend,
        **terms,
    }
    check(*await send("POST", "/key/generate", wish))


async def update_key(token_hash: str, *, terms: Mapping[str, Any]) -> None:
    """Change a key's terms, owner and whether it is blocked among them; null ends a limit.

    Raises:
        KeyUnknown: there is none, or it was deleted.
    """
    check(*await send("POST", "/key/update", {"key": token_hash, **terms}))


async def delete_keys(token_hashes: Collection[str]) -> None:
    """Delete keys; those that are not there are passed over."""
    status, answer = await send("POST", "/key/delete", {"keys": list(token_hashes)})
    if not lacks(status, answer, "No keys found"):
        check(status, answer)


async def key_info(token_hash: str) -> KeyInfo | None:
    """Return what LiteLLM holds of a key, a deleted one too; None when it never had it."""
    status, answer = await send("GET", f"/key/info?key={quote(token_hash, safe='')}")
    try:
        check(status, answer)
    except KeyUnknown:
        return None
    return _key({**member(answer, "info", dict), "token": token_hash})


async def all_keys() -> AsyncIterator[tuple[list[KeyInfo], int]]:
    """Yield pages of all keys that are not deleted, oldest first, each with how many there are.

    A key that is deleted meanwhile may make this pass over another one.
    """
    order = {"size": PAGE_SIZE, "sort_by": "created_at", "sort_order": "asc"}
    query = {**order, "return_full_object": "true"}
    async for page in pages("/key/list", query):
        keys = [_key(row) for row in member(page, "keys", list)]
        yield keys, member(page, "total_count", int)


def _key(row: Any) -> KeyInfo:
    return KeyInfo(
        token_hash=member(row, "token", str),
        alias=row.get("key_alias") or "",
        user_id=row.get("user_id") or "",
        made_by=maker_of(row),
        is_deleted=row.get("status") == "deleted",
        spend=row.get("spend") or 0.0,
        resets_at=_moment(row.get("budget_reset_at")),
        row=row,
    )


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError) as exc:
        raise UpstreamAnswerInvalid from exc
