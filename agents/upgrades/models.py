"""What was done to agents to bring them to other versions, and how to undo it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from gateway_core.crypto import decrypt, encrypt
from gateway_core.errors import ResourceNotFound

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from agents.models import Agent


class Direction(models.TextChoices):
    """Which way an agent goes."""

    UPGRADE = "upgrade"
    ROLLBACK = "rollback"


class MigrationState(models.TextChoices):
    """How far it has got."""

    PLANNING = "planning"
    APPLYING = "applying"
    UNDOING = "undoing"
    APPLIED = "applied"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back", "rolled back"


# In these the gateway is at it, or has died over it.
UNFINISHED: Final = (MigrationState.PLANNING, MigrationState.APPLYING, MigrationState.UNDOING)


class MigrationQuerySet(models.QuerySet["Migration"]):
    """Migrations of agents."""

    def left_behind(self, before: datetime) -> MigrationQuerySet:
        """Return those that have not gone on since before a time, the oldest first."""
        rows = self.filter(state__in=UNFINISHED, touched_at__lt=before)
        return rows.select_related("agent").order_by("touched_at")

    def for_pages(self) -> MigrationQuerySet:
        """Return those that have come to something."""
        return self.exclude(state=MigrationState.PLANNING)


class Migration(models.Model):
    """An agent's way from one version of its template to another.

    What it holds of the agent's memory and variables is encrypted.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="migrations")
    direction = models.CharField(max_length=16, choices=Direction.choices)
    state = models.CharField(
        max_length=16, choices=MigrationState.choices, default=MigrationState.PLANNING
    )
    template_id = models.CharField(max_length=128)
    from_version = models.CharField(max_length=128, blank=True, default="")
    to_version = models.CharField(max_length=128, blank=True, default="")
    strategy = models.JSONField(default=dict, blank=True, help_text="What was chosen for.")
    plan = models.JSONField(default=list, blank=True, help_text="The steps, without values.")
    warnings = models.JSONField(default=list, blank=True)
    steps_done = models.PositiveIntegerField(default=0)
    encrypted = models.TextField(blank=True, default="", editable=False)
    status_before = models.CharField(max_length=16, editable=False)
    suspended_by_before = models.CharField(max_length=8, blank=True, default="", editable=False)
    error = models.TextField(blank=True, default="")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Empty: the gateway itself, or somebody who is gone.",
    )
    reverts = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[MigrationQuerySet] = MigrationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "migration of an agent"
        verbose_name_plural = "migrations of agents"
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=("agent", "-created_at", "-id"), name="migration_of_agent"),
            models.Index(
                fields=("touched_at",), name="migration_open", condition=Q(state__in=UNFINISHED)
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("agent",), condition=Q(state__in=UNFINISHED), name="migration_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(state__in=MigrationState.values), name="migration_state_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.direction} from {self.from_version} to {self.to_version} ({self.state})"

    @classmethod
    def begun(cls, agent: Agent, direction: Direction, **fields: Any) -> Migration:
        """Return a new one, in memory, that knows the way back to the agent's status."""
        return cls(
            agent=agent,
            direction=direction,
            template_id=agent.template_id,
            from_version=agent.version,
            status_before=agent.status,
            suspended_by_before=agent.suspended_by,
            **fields,
        )

    def encrypt(self, content: dict[str, Any]) -> None:
        """Put the agent's memory and variables away, in memory."""
        self.encrypted = encrypt(orjson.dumps(content).decode(), row_of(self.pk))

    def decrypt(self) -> dict[str, Any]:
        """Return what was put away.

        Raises:
            SecretUnreadable: no encryption key opens it.
        """
        content: dict[str, Any] = orjson.loads(decrypt(self.encrypted, row_of(self.pk)))
        return content

    def touch(self, state: MigrationState | None = None, **fields: Any) -> None:
        """Write down how far it is, and no more than that: what is encrypted may be large.

        Raises:
            ResourceNotFound: it is gone, with its agent.
        """
        self.state = state or MigrationState(self.state)
        self.touched_at = timezone.now()
        if self.state not in UNFINISHED:
            self.ended_at = self.touched_at
        for name, value in fields.items():
            setattr(self, name, value)
        changed = {name: getattr(self, name) for name in ("state", "touched_at", "ended_at")}
        if not Migration.objects.filter(pk=self.pk).update(**changed, **fields):
            raise ResourceNotFound


def row_of(migration_pk: UUID) -> str:
    """Return what the encrypted state of a migration is bound to."""
    return f"migration:{migration_pk}"
