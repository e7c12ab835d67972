"""The table of rules that staff edit."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q


class Effect(models.TextChoices):
    """What a rule does to the requests that it matches."""

    DENY = "deny", "deny"
    SHADOW = "shadow", "shadow"


class Role(models.TextChoices):
    """Whom a rule may be limited to."""

    ANONYMOUS = "anonymous", "anonymous users"
    REGISTERED = "registered", "users with an account"


class Method(models.TextChoices):
    """The methods that operations have."""

    GET = "GET", "GET"
    POST = "POST", "POST"
    PUT = "PUT", "PUT"
    PATCH = "PATCH", "PATCH"
    DELETE = "DELETE", "DELETE"


class AccessRule(models.Model):
    """Takes operations away, from everybody or from some. No rule can give any."""

    effect = models.CharField(
        max_length=16,
        choices=Effect.choices,
        help_text="Shadow: let through, and shown in log and audit trail as what would be denied.",
    )
    method = models.CharField(
        max_length=8, choices=Method.choices, blank=True, default="", help_text="Empty: any."
    )
    path_pattern = models.CharField(
        max_length=255,
        help_text=(
            "Letta's path, like /agents/*/messages. A * stands for one segment, ** for any number "
            "of them: /agents/** is everything about agents, /** everything. The same may be had "
            "by other paths: messages are also sent by /conversations/*/messages and "
            "/chat/completions."
        ),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="access_rules",
        help_text="Only this user. Type the whole e-mail address or id.",
    )
    role = models.CharField(
        max_length=16,
        choices=Role.choices,
        blank=True,
        default="",
        help_text="Only these users. Without user and role the rule is for everybody.",
    )
    reason = models.TextField(
        help_text="For staff. Whoever is denied reads the rule's id and no more."
    )
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Empty: it came with the gateway.",
    )

    objects: ClassVar[models.Manager[AccessRule]] = models.Manager()

    class Meta:
        verbose_name = "access rule"
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(effect__in=Effect.values), name="letta_access_rule_effect"
            ),
            models.CheckConstraint(
                condition=Q(method__in=["", *Method.values]), name="letta_access_rule_method"
            ),
            models.CheckConstraint(
                condition=Q(path_pattern__startswith="/"), name="letta_access_rule_path_from_root"
            ),
            models.CheckConstraint(
                condition=Q(role__in=["", *Role.values]) & (Q(role="") | Q(user=None)),
                name="letta_access_rule_user_or_role",
            ),
        )

    def __str__(self) -> str:
        return f"{self.rule_id}: {self.effect} {self.method or 'any'} {self.path_pattern}"

    @property
    def rule_id(self) -> str:
        """What callers, logs and the audit trail call it."""
        return f"rule-{self.pk}"

    def clean(self) -> None:
        """Bring the pattern into its one form.

        Raises:
            ValidationError: it matches nothing that is offered, or user and role are both set.
        """
        # The catalogue names kinds of things from letta_proxy.models, which imports this module.
        from letta_proxy.rules.coverage import complaint  # noqa: PLC0415
        from letta_proxy.rules.patterns import normalised  # noqa: PLC0415

        self.path_pattern = normalised(self.path_pattern)
        if problem := complaint(self.method, self.path_pattern):
            raise ValidationError({"path_pattern": problem})
        if self.user_id and self.role:
            raise ValidationError({"role": "Choose a user or a role, not both."})
