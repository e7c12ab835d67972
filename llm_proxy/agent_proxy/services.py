"""Agent secrets: the one in force, and putting another one in its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from accounts.principals.memory import INVALIDATION_SUBJECT
from gateway_core import cache
from gateway_core.audit.services import record_change
from llm_proxy.agent_proxy.models import FIRST_VERSION, AgentSecret
from llm_proxy.agent_proxy.secrets import Claim, secret_of

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAddress:
    """Where the agents of a user call their models, and with what.

    Attributes:
        url: holds the secret: Letta sends its server's own key along with embeddings (measured),
            so that the address alone can tell whose they are.
        secret: for whoever sends a key of the user's.
    """

    url: str
    secret: str

    def of_agent(self, agent_id: str) -> str:
        """Return the address that also tells which agent calls."""
        return f"{self.url}/agents/{agent_id}"


def version_for(user_id: UUID) -> int:
    """Return the version of a user's secret that is in force; queries the database."""
    found = AgentSecret.objects.filter(pk=user_id).values_list("version", flat=True).first()
    return FIRST_VERSION if found is None else found


def address_for(user_id: UUID) -> AgentAddress | None:
    """Return the address of a user's agents; queries the database.

    None where Letta can't reach the gateway, as far as it is told: GATEWAY_INTERNAL_URL is empty.
    """
    if not settings.GATEWAY_INTERNAL_URL:
        return None
    row, _ = AgentSecret.objects.get_or_create(pk=user_id)
    secret = secret_of(Claim(user_id, row.version))
    base = f"{settings.GATEWAY_INTERNAL_URL}/api/v1/agents/{user_id}/proxy"
    return AgentAddress(url=f"{base}/{secret}", secret=secret)


def revoke_agent_secret(*, user_id: UUID, by: User | None) -> int:
    """Put another secret in the place of a user's, and return its version.

    The old one is worth nothing from then on, within a second in every process.

    Args:
        by: who does it; None for the gateway itself.
    """
    with transaction.atomic():
        fresh = AgentSecret(user_id=user_id)
        AgentSecret.objects.bulk_create([fresh], ignore_conflicts=True)
        row = AgentSecret.objects.select_for_update().get(pk=user_id)
        row.version += 1
        row.save()
        record_change(actor=by, action="agent_secret.revoke", resource=f"user:{user_id}")
        transaction.on_commit(partial(cache.invalidate, INVALIDATION_SUBJECT, str(user_id)))
    return row.version
