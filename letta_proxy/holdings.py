"""What Letta holds of a user, and this app of that."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from accounts.holdings import Holder
from gateway_core.background import wait_for
from letta_proxy import client
from letta_proxy.direct.agents import delete_agent, list_agents
from letta_proxy.direct.holdings import has_account
from letta_proxy.exporting import export_account
from letta_proxy.mode import is_cloud
from letta_proxy.models import LettaAccount, OwnedResource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from accounts.holdings import Document


def _export(user_id: UUID) -> Iterator[Document]:
    # Asking Letta would make an account.
    return export_account(user_id) if has_account(user_id) else iter(())


def _count(user_id: UUID) -> dict[str, int]:
    counts = Counter(OwnedResource.objects.filter(user_id=user_id).values_list("kind", flat=True))
    organizations = LettaAccount.objects.filter(pk=user_id).exclude(organization_id="")
    return {**counts, "organization": organizations.count()}


def _erase(user_id: UUID) -> dict[str, int]:
    """Delete the organization, which takes everything in it along; in the cloud, each agent."""
    owned = OwnedResource.objects.filter(user_id=user_id)
    counts = Counter(owned.values_list("kind", flat=True))
    if is_cloud():
        for agent in list(list_agents(user_id=user_id)):
            delete_agent(user_id=user_id, agent_id=agent.agent_id)
    account = LettaAccount.objects.filter(pk=user_id).exclude(organization_id="").first()
    if account is not None:
        delete = partial(client.delete_organization, account.organization_id)
        wait_for(delete, close=client.upstream().close)
        counts["organization"] = 1
    owned.delete()
    LettaAccount.objects.filter(pk=user_id).delete()
    return dict(counts)


HOLDER: Final = Holder(name="letta", export=_export, count=_count, erase=_erase)
