"""What LiteLLM still has although it is over here, a piece at a time for ``manage.py cleanup``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model

from llm_proxy.client import connections
from llm_proxy.client.users import all_users, delete_users
from llm_proxy.virtual_keys.models import VirtualKey
from llm_proxy.virtual_keys.services import finish_retiring
from llm_proxy.virtual_keys.standing import installation_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


def retiring_keys() -> list[UUID]:
    """Return the virtual keys that LiteLLM could not be told to delete when they were retired."""
    retiring = VirtualKey.objects.filter(state=VirtualKey.State.RETIRING)
    return list(retiring.order_by("created_at").values_list("pk", flat=True))


def delete_retiring_keys(virtual_key_ids: Sequence[UUID]) -> int:
    """Delete retiring keys in LiteLLM, and then their rows; returns how many.

    Raises:
        UpstreamError: LiteLLM can't. What is deleted already stays so.
    """
    async_to_sync(_finish)(virtual_key_ids)
    return len(virtual_key_ids)


def orphaned_users() -> list[str]:
    """Return the ids of LiteLLM's users that this gateway has made, and that it has no row of.

    Raises:
        UpstreamError: LiteLLM can't say.
    """
    return _without_rows(async_to_sync(_made_here)(str(installation_id())))


def delete_orphaned_users(user_ids: Sequence[str]) -> int:
    """Delete users of LiteLLM's with their keys; returns how many. Raises UpstreamError."""
    orphans = _without_rows(user_ids)
    async_to_sync(_delete)(orphans)
    return len(orphans)


def _without_rows(user_ids: Sequence[str]) -> list[str]:
    rows = get_user_model().objects.filter(pk__in=user_ids)
    known = {str(pk) for pk in rows.values_list("pk", flat=True)}
    return [user_id for user_id in user_ids if user_id not in known]


async def _made_here(made_by: str) -> list[str]:
    try:
        return [
            user.user_id
            async for users, _ in all_users()
            for user in users
            if user.made_by == made_by
        ]
    finally:
        await connections.close()


async def _finish(virtual_key_ids: Sequence[UUID]) -> None:
    try:
        for virtual_key_id in virtual_key_ids:
            await finish_retiring(virtual_key_id)
    finally:
        await connections.close()


async def _delete(user_ids: Sequence[str]) -> None:
    try:
        await delete_users(user_ids)
    finally:
        await connections.close()
