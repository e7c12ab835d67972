"""LiteLLM's users."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from llm_proxy.client.calls import MADE_BY, PAGE_SIZE, check, lacks, maker_of, member, pages, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """What LiteLLM holds of a user, as ``keys.KeyInfo`` of a key."""

    user_id: str
    made_by: str
    row: Mapping[str, Any]


async def put_user(
    user_id: UUID, *, terms: Mapping[str, Any], made_by: UUID, spend: float = 0.0
) -> None:
    """Have LiteLLM know a user, with no key and on these terms.

    The e-mail is not sent: LiteLLM wants it unique, and Supabase doesn't. Metadata of a user that
    LiteLLM knows already stays as it is: sent again, it would be replaced as a whole.

    Args:
        spend: US dollars that count as spent on the budget of a user whom LiteLLM does not know.
    """
    wish = {
        "user_id": str(user_id),
        "user_role": "internal_user",
        "auto_create_key": False,
        "metadata": {MADE_BY: str(made_by)},
        "spend": spend,
        **terms,
    }
    status, answer = await send("POST", "/user/new", wish)
    if status == HTTPStatus.CONFLICT:
        await update_user(user_id, terms=terms)
    else:
        check(status, answer)


async def update_user(user_id: UUID, *, terms: Mapping[str, Any]) -> None:
    """Change a user's terms; null ends a limit. A user that LiteLLM lacks is made, with no role."""
    check(*await send("POST", "/user/update", {"user_id": str(user_id), **terms}))


async def user_with_keys(user_id: UUID) -> tuple[Mapping[str, Any], list[Any]] | None:
    """Return all that LiteLLM holds of a user and of their keys; None when it has no such user."""
    status, answer = await send("GET", f"/user/info?user_id={user_id}")
    if lacks(status, answer, "not found"):
        return None
    check(status, answer)
    return member(answer, "user_info", dict), member(answer, "keys", list)


async def delete_users(user_ids: Collection[str]) -> None:
    """Delete users with their keys, one by one: it takes no list with an unknown one in it."""
    for user_id in user_ids:
        status, answer = await send("POST", "/user/delete", {"user_ids": [user_id]})
        if not lacks(status, answer, "User not found"):
            check(status, answer, kind=int)


async def all_users() -> AsyncIterator[tuple[list[UserInfo], int]]:
    """Yield pages of all users, oldest first, each with how many there are."""
    query = {"page_size": PAGE_SIZE, "sort_by": "created_at", "sort_order": "asc"}
    async for page in pages("/user/list", query):
        users = [_user(row) for row in member(page, "users", list)]
        yield users, member(page, "total", int)


def _user(row: Any) -> UserInfo:
    return UserInfo(user_id=member(row, "user_id", str), made_by=maker_of(row), row=row)
