"""What this app holds of a user, and where it keeps secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from accounts.holdings import Document, Holder
from agents import variables
from agents.models import Agent
from agents.upgrades import models as upgrades
from agents.upgrades.fleets.services import forget_owner
from gateway_core.encrypted import EncryptedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

_SHOWN: Final = 100
_ROW: Final = (
    "agent_id",
    "status",
    "origin",
    "template_id",
    "version",
    "name",
    "description",
    "tags",
    "metadata",
    "model",
    "embedding",
    "created_at",
)

ENCRYPTED: Final = (
    EncryptedColumn(
        name="agents' variables",
        model=Agent,
        column="encrypted_variables",
        bound_to=variables.row_of,
    ),
    EncryptedColumn(
        name="migrations' states",
        model=upgrades.Migration,
        column="encrypted",
        bound_to=upgrades.row_of,
    ),
)


def _summarise(user_id: UUID) -> dict[str, Any]:
    agents = Agent.objects.of(user_id).exclude(agent_id="").order_by("-created_at", "-id")
    newest = agents.values("agent_id", "name", "status")[:_SHOWN]
    return {"agents": {"count": agents.count(), "newest": list(newest)}}


def _export(user_id: UUID) -> Iterator[Document]:
    for agent in Agent.objects.of(user_id).order_by("created_at", "id"):
        told = {name: getattr(agent, name) for name in _ROW}
        told["variables"] = variables.shown_variables(agent)
        yield Document(f"{agent.pk}.json", orjson.dumps(told, default=str))


def _erase(user_id: UUID) -> dict[str, int]:
    erased = Agent.objects.of(user_id).delete()[1]
    return {**erased, "lines under a pseudonym": forget_owner(user_id)}


HOLDER: Final = Holder(name="agents", summarise=_summarise, export=_export, erase=_erase)
