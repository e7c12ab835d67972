"""Users' agents, as the gateway knows them: what each was made from, and in what state it is."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from gateway_core.errors import AgentSuspended

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from accounts.models import User

NAME_MAX_LENGTH: Final = 200
DESCRIPTION_MAX_LENGTH: Final = 2000
TAG_MAX_LENGTH: Final = 100
# What the gateway's own tags begin with.
OWN_TAG: Final = "gw:"


class Status(models.TextChoices):
    """Where an agent is in its life."""

    CREATING = "creating"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    UPGRADING = "upgrading"
    FAILED = "failed"
    DELETING = "deleting"


# In these the gateway is at it, or has died over it.
UNSETTLED: Final = (Status.CREATING, Status.DELETING)
# In these it is whole, and can be changed, copied and upgraded.
LIVING: Final = (Status.ACTIVE, Status.SUSPENDED)
# In these requests are kept from it.
SHUT: Final = (Status.SUSPENDED, Status.UPGRADING)


class Origin(models.TextChoices):
    """How an agent came to be."""

    TEMPLATE = "template"
    CLONE = "clone"
    IMPORT = "import"
    LETTA = "letta", "Letta's own API"


class SuspendedBy(models.TextChoices):
    """Who has suspended an agent."""

    NOBODY = ""
    OWNER = "owner"
    STAFF = "staff"


class AgentQuerySet(models.QuerySet["Agent"]):
    """Agents."""

    def for_user(self, user: User) -> AgentQuerySet:
        """Return a user's own."""
        return self.of(user.pk)

    def of(self, user_id: uuid.UUID) -> AgentQuerySet:
        """Return a user's own, by the user's id."""
        return self.filter(user_id=user_id)

    def called(self, agent_id: str) -> AgentQuerySet:
        """Return the one of this id in Letta."""
        is_none = not agent_id or "\0" in agent_id  # which PostgreSQL would not even look for
        return self.none() if is_none else self.filter(agent_id=agent_id)

    def searched(self, words: str) -> AgentQuerySet:
        """Return those with all of these words in name or description."""
        rows = self
        for word in words.split():
            rows = rows.filter(Q(name__icontains=word) | Q(description__icontains=word))
        return rows

    def left_behind(self, before: datetime) -> AgentQuerySet:
        """Return those that have been unsettled since before a time."""
        return self.filter(status__in=UNSETTLED, status_at__lt=before)

    def for_pages(self) -> AgentQuerySet:
        """Return them without what makes a row large; it is fetched when it is asked for."""
        return self.defer("built_from")

    def is_any_made_from(self, template_id: uuid.UUID) -> bool:
        """Say whether there is an agent of any version of a template."""
        return self.filter(template_version__template_id=template_id).exists()


class Agent(models.Model):
    """One agent of one user.

    Its public id is Letta's, which clients use with Letta's API, too; there is none before Letta
    has made it. The row's own id is on the agent in Letta as a tag, by which one finds the other
    whatever happens between them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agents"
    )
    agent_id = models.CharField("id in Letta", max_length=128, blank=True, default="")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.CREATING)
    status_at = models.DateTimeField(default=timezone.now, help_text="Since when it is so.")
    suspended_by = models.CharField(
        max_length=8, choices=SuspendedBy.choices, blank=True, default=SuspendedBy.NOBODY
    )
    origin = models.CharField(max_length=16, choices=Origin.choices, default=Origin.TEMPLATE)
    last_error = models.TextField(blank=True, default="")

    template_version = models.ForeignKey(
        "templates_app.TemplateVersion",
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="agents",
        help_text="Empty: made from none, or from one that a remote AMS keeps.",
    )
    template_id = models.CharField(max_length=128, blank=True, default="")
    version = models.CharField(max_length=128, blank=True, default="")
    checksum = models.CharField(max_length=64, blank=True, default="")
    variables = models.JSONField(default=dict, blank=True, help_text="Without secret ones.")
    secret_names = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    encrypted_variables = models.TextField(blank=True, default="", editable=False)
    built_from = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="The Agent File with the variables put in, without tool_env.",
    )

    name = models.CharField(max_length=NAME_MAX_LENGTH, blank=True, default="")
    description = models.TextField(blank=True, default="")
    tags = ArrayField(models.CharField(max_length=TAG_MAX_LENGTH), default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    model = models.CharField(max_length=256, blank=True, default="")
    embedding = models.CharField(max_length=256, blank=True, default="")
    revision = models.PositiveIntegerField(default=1, help_text="Counts changes; the ETag.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[AgentQuerySet] = AgentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-created_at", "-id")
        permissions = (
            ("suspend_agent", "Can suspend and resume agents"),
            ("migrate_agents", "Can migrate the agents of a template"),
        )
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="agent_created"),
            models.Index(fields=("user", "-created_at", "-id"), name="agent_user_created"),
            models.Index(
                fields=("user", "template_id", "-created_at", "-id"), name="agent_user_template"
            ),
            models.Index(
                fields=("user",),
                name="agent_shut",
                condition=Q(status__in=SHUT),
            ),
            models.Index(
                fields=("status_at",), name="agent_unsettled", condition=Q(status__in=UNSETTLED)
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("agent_id",), condition=~Q(agent_id=""), name="agent_id_unique"
            ),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="agent_status_known"
            ),
            models.CheckConstraint(
                condition=~Q(agent_id="") | Q(status__in=UNSETTLED),
                name="agent_settled_has_id",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.SUSPENDED) | Q(suspended_by=SuspendedBy.NOBODY),
                name="agent_suspended_by_only_when_so",
            ),
        )

    def __str__(self) -> str:
        return self.name or self.agent_id or str(self.pk)

    @property
    def tag(self) -> str:
        """The tag that its agent in Letta has."""
        return f"{OWN_TAG}{self.pk}"

    @property
    def etag(self) -> str:
        """The entity tag of this state of the row, with its quotation marks."""
        return f'"{self.revision}"'

    @property
    def template(self) -> dict[str, str] | None:
        """What it was made from, None when from no template."""
        if not self.template_id:
            return None
        return {"id": self.template_id, "version": self.version, "checksum": self.checksum}

    @property
    def appearance(self) -> tuple[Any, ...]:
        """What Letta has of it, too."""
        return (
            *(self.name, self.description, self.tags, self.metadata),
            *(self.model, self.embedding),
        )

    def require_open_to(self, user: User | None) -> None:
        """Refuse owners what staff have suspended: they see it, and neither use nor remove it.

        Copies would be a way around the suspension, and deletion the end of what it is about.

        Raises:
            AgentSuspended: staff have, and it is the owner's own.
        """
        is_owner = user is not None and user.pk == self.user_id
        if is_owner and self.suspended_by == SuspendedBy.STAFF:
            raise AgentSuspended("This agent was suspended by support. Contact them.")

    def become(self, status: Status, **fields: Any) -> None:
        """Go over to a status, in memory; ``fields`` change with it."""
        if status != self.status:
            self.status, self.status_at = status, timezone.now()
        if status != Status.SUSPENDED:
            self.suspended_by = SuspendedBy.NOBODY
        for name, value in fields.items():
            setattr(self, name, value)
        self.revision += 1

    def resembles(self, document: dict[str, Any]) -> None:
        """Take over, in memory, what Letta's document of the agent says of it."""
        self.name = str(document.get("name") or self.name)[:NAME_MAX_LENGTH]
        self.description = document.get("description") or ""
        self.metadata = document.get("metadata") or {}
        self.tags = without_own(document.get("tags") or ())
        self.model = document.get("model") or ""
        self.embedding = document.get("embedding") or ""


def without_own(tags: Sequence[str]) -> list[str]:
    """Return tags without the gateway's own, each as long as one may be."""
    return [tag[:TAG_MAX_LENGTH] for tag in tags if not tag.startswith(OWN_TAG)]


# Django finds models where it finds those of the app.
from agents.upgrades.fleets.models import FleetAgent  # noqa: E402, F401
from agents.upgrades.models import Migration  # noqa: E402, F401
