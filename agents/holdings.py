"""What this app holds of a user, and where it keeps secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from accounts.holdings import Holder, json_document, lines_document
from agents import variables
from agents.models import Agent
from agents.upgrades import models as upgrades
from agents.upgrades.fleets.models import FleetAgent
from agents.upgrades.fleets.services import forget_owner
from agents.upgrades.serializers import MigrationDetailSerializer
from gateway_core.encrypted import EncryptedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from accounts.holdings import Document

_SHOWN: Final = 100
_BATCH: Final = 100
_LINES: Final = "lines under a pseudonym"
_ROW: Final = (
    "agent_id",
    "status",
    "origin",
    "template_id",
    "version",
    "checksum",
    "built_from",
    "suspended_by",
    "last_error",
    "name",
    "description",
    "tags",
    "metadata",
    "model",
    "embedding",
    "created_at",
    "updated_at",
)
_LINE: Final = (
    *("job_id", "agent_id", "from_version", "result", "detail", "plan", "conflicts"),
    "migration_id",
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
    for agent in Agent.objects.of(user_id).order_by("created_at", "id").iterator(_BATCH):
        told = {name: getattr(agent, name) for name in _ROW}
        told["variables"] = variables.shown_variables(agent)
        yield json_document(f"{agent.pk}.json", told)
        history = agent.migrations.order_by("created_at", "id").iterator(_BATCH)
        yield lines_document(f"{agent.pk}.migrations.jsonl", map(_told, history))
    lines = FleetAgent.objects.filter(owner_id=user_id).order_by("pk").values(*_LINE)
    yield lines_document("fleets.jsonl", lines.iterator(_BATCH))


def _told(migration: upgrades.Migration) -> dict[str, Any]:
    """Return a migration with what the agent was like before, but for its secrets."""
    before = migration.decrypt().get("snapshot") if migration.encrypted else None
    return {**MigrationDetailSerializer(migration).data, "agent_before": before}


def _count(user_id: UUID) -> dict[str, int]:
    agents = Agent.objects.of(user_id)
    return {
        "agents.Agent": agents.count(),
        "agents.Migration": upgrades.Migration.objects.filter(agent__in=agents).count(),
        _LINES: FleetAgent.objects.filter(owner_id=user_id).count(),
    }


def _erase(user_id: UUID) -> dict[str, int]:
    erased = Agent.objects.of(user_id).delete()[1]
    return {**erased, _LINES: forget_owner(user_id)}


HOLDER: Final = Holder(
    name="agents", summarise=_summarise, export=_export, count=_count, erase=_erase
)
