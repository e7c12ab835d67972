"""Plans, and what is different for single users."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q


class BudgetPeriod(models.TextChoices):
    """When spending begins at zero again, in LiteLLM's words for durations."""

    DAY = "1d", "a day"
    WEEK = "7d", "a week"
    MONTH = "30d", "30 days"


def _budget(**traits: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        **traits,
    )


def _whole(help_text: str) -> models.PositiveIntegerField[Any, Any]:
    return models.PositiveIntegerField(null=True, blank=True, help_text=help_text)


class Plan(models.Model):
    """What every user on it may use and spend. An empty limit is no limit."""

    name = models.CharField(max_length=64, unique=True)
    is_default = models.BooleanField(
        default=False, help_text="Of users whom nobody has put on a plan."
    )
    budget = _budget(help_text="US dollars in each period.")
    budget_period = models.CharField(
        max_length=8, choices=BudgetPeriod.choices, default=BudgetPeriod.MONTH
    )
    allowed_models = ArrayField(
        models.CharField(max_length=256),
        default=list,
        blank=True,
        help_text="Names and patterns such as openai/*, by commas. None: every model.",
    )
    requests_per_minute = _whole("Model calls.")
    tokens_per_minute = _whole("Of model calls, in and out.")
    max_parallel_calls = _whole("Model calls under way at once.")
    max_api_keys = models.PositiveIntegerField(default=20)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[Plan]] = models.Manager()

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("is_default",),
                condition=Q(is_default=True),
                name="accounts_one_default_plan",
            ),
        )

    def __str__(self) -> str:
        return self.name


class UserPlan(models.Model):
    """The plan that a user was put on, and the limits that are different for them."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="user_plan",
    )
    plan = models.ForeignKey(
        Plan,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="users",
        help_text="None: the default plan.",
    )
    budget = _budget(help_text="Instead of the plan's, US dollars in each period.")
    allowed_models = ArrayField(
        models.CharField(max_length=256),
        null=True,
        blank=True,
        help_text="Instead of the plan's.",
    )
    requests_per_minute = _whole("Instead of the plan's.")
    tokens_per_minute = _whole("Instead of the plan's.")
    max_parallel_calls = _whole("Instead of the plan's.")
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[UserPlan]] = models.Manager()

    class Meta:
        verbose_name = "user's plan"

    def __str__(self) -> str:
        return f"{self.user_id} on {self.plan_id or 'the default plan'}"
