"""API keys: stored as hashes, each with a virtual key of its own."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models

from accounts.plans.models import BudgetPeriod


class Scope(models.TextChoices):
    """What an API key opens: a route of the data plane."""

    LLM = "llm", "models"
    LETTA = "letta", "agents"


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
        validators=[MinValueValidator(0)],
        help_text="US dollars in each period; the user's own budget counts too.",
    )
    budget_period = models.CharField(
        max_length=8, choices=BudgetPeriod.choices, default=BudgetPeriod.MONTH
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[ApiKey]] = models.Manager()

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at", "id")
        indexes = (
            models.Index(fields=("user", "-created_at", "id"), name="llm_proxy_api_key_user"),
            models.Index(fields=("expires_at",), name="llm_proxy_api_key_expires"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"
