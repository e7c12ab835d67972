"""One row for each model call and agent turn."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q


class UsageRecord(models.Model):
    """What one call used and cost.

    Rows come from the audit events of the calls and have their ids, so each comes once. No foreign
    keys: a row outlives what it names. A call whose cost is not known yet is open.
    """

    class Kind(models.TextChoices):
        CALL = "call", "model call"
        TURN = "turn", "agent turn"

    class Source(models.TextChoices):
        GATEWAY = "gateway", "seen by the gateway"
        LITELLM = "litellm", "found in LiteLLM's log"

    id = models.UUIDField(primary_key=True, help_text="That of the audit event.")
    at = models.DateTimeField(help_text="When it began.")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CALL)
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.GATEWAY)
    user_id = models.UUIDField()
    virtual_key_id = models.UUIDField(null=True)
    api_key_id = models.UUIDField(null=True)
    agent_id = models.CharField(max_length=64, blank=True, default="")
    model = models.CharField(max_length=256, blank=True, default="")
    operation = models.CharField(max_length=64, blank=True, default="")
    call_id = models.CharField(
        max_length=128, blank=True, default="", help_text="What LiteLLM files the call under."
    )
    request_id = models.CharField(max_length=64, blank=True, default="")
    tokens_in = models.BigIntegerField(null=True)
    tokens_out = models.BigIntegerField(null=True)
    cost = models.DecimalField(
        max_digits=20,
        decimal_places=12,
        null=True,
        help_text="US dollars. Turns have none: their model calls do. Empty: not known yet.",
    )
    look_at = models.DateTimeField(
        null=True,
        help_text="When the cost is looked for in LiteLLM's log. Empty: it is known, or was not "
        "found for so long that it is left to reconcile_usage.",
    )
    status = models.PositiveSmallIntegerField(default=0)
    code = models.CharField(max_length=64, blank=True, default="")

    objects: ClassVar[models.Manager[UsageRecord]] = models.Manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-at", "-id")
        indexes = (
            models.Index(fields=("user_id", "-at"), name="llm_proxy_usage_user"),
            models.Index(
                fields=("api_key_id", "-at"),
                name="llm_proxy_usage_api_key",
                condition=Q(api_key_id__isnull=False),
            ),
            models.Index(fields=("-at", "-id"), name="llm_proxy_usage_at"),
            models.Index(
                fields=("look_at",),
                name="llm_proxy_usage_due",
                condition=Q(look_at__isnull=False),
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("call_id",), condition=~Q(call_id=""), name="llm_proxy_usage_call"
            ),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.model or self.kind}"
