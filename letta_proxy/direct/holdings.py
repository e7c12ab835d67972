"""Who may have agents in Letta, and which ones are on record as theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model

from letta_proxy.mode import is_cloud
from letta_proxy.models import Kind, LettaAccount, OwnedResource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

_BATCH = 1000


def account_holders() -> Iterator[UUID]:
    """Yield the users who may have something in Letta, in the order of their ids.

    On Letta Cloud, where nobody has an account, that is everybody.
    """
    if is_cloud():
        users = get_user_model().objects.order_by("pk").values_list("pk", flat=True)
        yield from users.iterator(_BATCH)
        return
    accounts = LettaAccount.objects.filter(state=LettaAccount.State.ACTIVE).order_by("pk")
    yield from accounts.values_list("pk", flat=True).iterator(_BATCH)


def has_account(user_id: UUID) -> bool:
    """Say whether a user may have something in Letta. Asking Letta itself would make them one."""
    accounts = LettaAccount.objects.filter(pk=user_id, state=LettaAccount.State.ACTIVE)
    return is_cloud() or accounts.exists()


def owned_agents(user_id: UUID) -> dict[str, str]:
    """Return the agents on record as a user's, each with the one it came along with, if any."""
    rows = OwnedResource.objects.filter(user_id=user_id, kind=Kind.AGENT)
    return dict(rows.values_list("upstream_id", "agent_id"))
