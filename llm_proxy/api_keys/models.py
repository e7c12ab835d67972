"""API keys: stored as hashes, each with a virtual key of its own."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery

from accounts.plans.models import BudgetPeriod
from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

SMALLEST_BUDGET: Final = Decimal("0.0001")


class Scope(models.TextChoices):
    """What an API key opens: a route of the data plane."""

    LLM = "llm", "models"
    LETTA = "letta", "agents"


class State(models.TextChoices):
    """What has become of a key; of the last two what came first. Nothing leads back from them."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Finds keys."""

    def for_user(self, user_id: UUID) -> ApiKeyQuerySet:
        """The keys that a user made."""
        return self.filter(user_id=user_id)

    def in_state(self, state: State, at: datetime) -> ApiKeyQuerySet:
        """Those that are in a state at that time."""
        is_revoked = Q(revoked_at__isnull=False)
        is_over = Q(expires_at__lte=at) & (~is_revoked | Q(revoked_at__gte=F("expires_at")))
        wanted = {
            State.ACTIVE: ~is_over & ~is_revoked,
            State.EXPIRED: is_over,
            State.REVOKED: is_revoked & ~is_over,
        }
        return self.filter(wanted[state])

    def left_over(self, at: datetime) -> ApiKeyQuerySet:
        """Those that have expired by that time, and that nobody has revoked since."""
        return self.filter(expires_at__lte=at, revoked_at=None)

    def with_last_use(self) -> ApiKeyQuerySet:
        """Each with ``last_used_at``."""
        uses = UsageRecord.objects.filter(api_key_id=OuterRef("pk")).order_by("-at")
        return self.annotate(last_used_at=Subquery(uses.values("at")[:1]))

    def of_secret(self, secret_hash: str) -> ApiKeyQuerySet:
        """The one whose secret has that hash, or had it before its last rotation."""
        return self.filter(Q(secret_hash=secret_hash) | Q(previous_hash=secret_hash))


class ApiKey(models.Model):
    """A key that its user made. The secret was shown once; only its hash is here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=100)
    hint = models.CharField(max_length=16, help_text="The secret's beginning, to know it by.")
    secret_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret.")
    previous_hash = models.CharField(  # noqa: DJ001 - unique, so most must have none
        max_length=64, unique=True, null=True, help_text="Of the secret before the last rotation."
    )
    previous_valid_until = models.DateTimeField(null=True)
    virtual_key = models.OneToOneField(
        "llm_proxy.VirtualKey", on_delete=models.SET_NULL, null=True, related_name="api_key"
    )
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices))
    allowed_models = ArrayField(
        models.CharField(max_length=256),
        default=list,
        blank=True,
        help_text="None: every model of the user's plan.",
    )
    budget = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(SMALLEST_BUDGET)],
        help_text="US dollars in each period; the user's own budget counts too.",
    )
    budget_period = models.CharField(
        max_length=8, choices=BudgetPeriod.choices, default=BudgetPeriod.MONTH
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at", "-id")
        default_permissions = ("view",)
        permissions = (("revoke_apikey", "Can revoke API keys"),)
        indexes = (
            models.Index(fields=("user", "-created_at", "-id"), name="llm_proxy_api_key_user"),
            models.Index(fields=("-created_at", "-id"), name="llm_proxy_api_key_created"),
            models.Index(fields=("expires_at",), name="llm_proxy_api_key_expires"),
        )
        constraints = (
            models.CheckConstraint(condition=~Q(scopes=[]), name="llm_proxy_api_key_has_scopes"),
            models.CheckConstraint(
                condition=Q(budget=None) | Q(budget__gt=0), name="llm_proxy_api_key_has_budget"
            ),
            models.CheckConstraint(
                condition=Q(previous_hash=None, previous_valid_until=None)
                | Q(previous_hash__isnull=False, previous_valid_until__isnull=False),
                name="llm_proxy_api_key_previous_ends",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    def state(self, at: datetime) -> State:
        """Return what has become of it by that time."""
        if self.expires_at is not None and self.expires_at <= min(self.revoked_at or at, at):
            return State.EXPIRED
        return State.ACTIVE if self.revoked_at is None else State.REVOKED
