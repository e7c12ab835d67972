"""Who is who in Letta, and what there belongs to whom."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from letta_proxy.rules.models import AccessRule

__all__ = ("AccessRule", "Kind", "LettaAccount", "OwnedResource")


class Kind(models.TextChoices):
    """What an id in Letta stands for."""

    AGENT = "agent"
    ARCHIVE = "archive"
    BLOCK = "block"
    CONVERSATION = "conversation"
    FILE = "file"
    FOLDER = "folder"
    GROUP = "group"
    IDENTITY = "identity"
    MESSAGE = "message"
    PASSAGE = "passage"
    RUN = "run"
    STEP = "step"
    TOOL = "tool"


class LettaAccount(models.Model):
    """The Letta organization and user that stand for one gateway user.

    Exactly one organization is made for each user. Whoever makes it holds the claim; a claim that
    has grown stale belonged to a process that died, and is taken over.
    """

    class State(models.TextChoices):
        CREATING = "creating"
        ACTIVE = "active"

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="letta_account",
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.CREATING)
    organization_id = models.CharField(max_length=64, blank=True, default="")
    letta_user_id = models.CharField(max_length=64, blank=True, default="")
    address_hash = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text=(
            "SHA-256 of the address that its model provider and agents were last given; "
            "empty: none yet."
        ),
    )
    claim = models.UUIDField(
        null=True, editable=False, help_text="Whoever is making the account right now."
    )
    claimed_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[LettaAccount]] = models.Manager()

    class Meta:
        verbose_name = "Letta account"
        ordering = ("-created_at", "user")
        indexes = (models.Index(fields=("-created_at", "user"), name="letta_account_created"),)
        constraints = (
            models.UniqueConstraint(
                fields=("organization_id",),
                condition=~Q(organization_id=""),
                name="letta_account_organization_unique",
            ),
            models.CheckConstraint(
                condition=Q(state="creating") | (~Q(organization_id="") & ~Q(letta_user_id="")),
                name="letta_account_active_is_complete",
            ),
        )

    def __str__(self) -> str:
        return f"{self.user_id} ({self.state})"


class OwnedResource(models.Model):
    """A thing in Letta that a user made through the gateway."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="letta_resources"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    upstream_id = models.CharField(max_length=128)
    agent_id = models.CharField(
        max_length=128,
        blank=True,
        default="",
        help_text="The agent that it goes with; a passage: the archive.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[OwnedResource]] = models.Manager()

    class Meta:
        verbose_name = "owned Letta resource"
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=("user", "kind"), name="letta_resource_user_kind"),
            models.Index(
                fields=("agent_id",), name="letta_resource_agent", condition=~Q(agent_id="")
            ),
            models.Index(fields=("-created_at", "-id"), name="letta_resource_created"),
        )
        constraints = (
            models.UniqueConstraint(fields=("kind", "upstream_id"), name="letta_resource_unique"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.upstream_id}"
