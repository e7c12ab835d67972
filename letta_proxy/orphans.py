"""Organizations in Letta that the gateway made and that stand for nobody any more.

A crash, an erased user or a database brought back from a backup leaves them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

from asgiref.sync import async_to_sync

from letta_proxy import client
from letta_proxy.mode import is_cloud
from letta_proxy.models import LettaAccount

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# As ``provisioning`` names them.
_NAME: Final = re.compile(r"gw:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})").fullmatch


def orphaned_organizations() -> list[str]:
    """Return the ids of those organizations.

    One that is being made is not among them: its row in our database comes before it does.

    Raises:
        UpstreamError: Letta can't say.
    """
    if is_cloud():
        return []
    made = async_to_sync(_made_by_gateway)()
    accounts = dict(LettaAccount.objects.values_list("pk", "organization_id"))
    return [
        organization_id
        for organization_id, user_id in made
        if user_id not in accounts or accounts[user_id] not in {"", organization_id}
    ]


def delete_organizations(organization_ids: Collection[str]) -> int:
    """Delete orphaned organizations with all that is in them; returns how many.

    Raises:
        UpstreamError: Letta can't. What is deleted already stays so.
    """
    taken = set(
        LettaAccount.objects.filter(organization_id__in=organization_ids).values_list(
            "organization_id", flat=True
        )
    )
    orphans = [one for one in organization_ids if one not in taken]
    async_to_sync(_delete)(orphans)
    return len(orphans)


async def _made_by_gateway() -> list[tuple[str, UUID]]:
    try:
        return [
            (organization_id, UUID(match[1]))
            async for organization_id, name in client.organizations()
            if (match := _NAME(name))
        ]
    finally:
        await client.upstream().close()


async def _delete(organization_ids: Iterable[str]) -> None:
    try:
        for organization_id in organization_ids:
            await client.delete_organization(organization_id)
    finally:
        await client.upstream().close()
