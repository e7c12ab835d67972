"""Plans, and what is different for single users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from gateway_core.rates.quota import FORM, quota

if TYPE_CHECKING:
    from collections.abc import Collection

# LiteLLM gives other names a meaning of their own, and takes a question mark for a regex's.
# It makes a regular expression of a pattern, with ``.*`` for each star and a plus that repeats; one
# with nine stars holds its worker for good (measured). So: two, and no plus beside them.
_MODEL_PATTERN: Final = RegexValidator(
    r"\A(?!.*\*.*\*.*\*)(?!.*\*.*\+)(?!.*\+.*\*)[\w.:@+*/-]+(?: [\w.:@+*/-]+)*\Z",
    "Write a model's name, or a pattern such as openai/*, with two stars at the most and no plus.",
)


class BudgetPeriod(models.TextChoices):
    """When spending begins at zero again, in LiteLLM's words for durations.

    LiteLLM takes them for calendar periods in UTC: until midnight, until Monday, until the first of
    the month (seen on 1.109.1). It looks for what is due every ten minutes.
    """

    DAY = "1d", "a day"
    WEEK = "7d", "a week"
    MONTH = "30d", "a month"


def _whole(help_text: str, **options: Any) -> models.PositiveIntegerField[Any, Any]:
    return models.PositiveIntegerField(null=True, blank=True, help_text=help_text, **options)


def check_rate(form: str) -> None:
    """Raise ValidationError for what is no rate."""
    try:
        quota("", form)
    except ValueError as exc:
        raise ValidationError(FORM) from exc


def _rate(name: str, help_text: str) -> models.CharField[Any, Any]:
    return models.CharField(
        name, max_length=24, blank=True, default="", validators=[check_rate], help_text=help_text
    )


class LimitFields(models.Model):
    """The limits that plans have and users may have of their own.

    What is empty here is no limit in a plan, and the plan's limit for a user. One more is a line
    here, a line in ``Limits``, and one in ``Unlimited`` if a user may be without it. Rates that are
    empty in both are those of the settings.
    """

    budget = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="US dollars in each period.",
    )
    allowed_models = ArrayField(
        models.CharField(max_length=256, validators=[_MODEL_PATTERN]),
        default=list,
        blank=True,
        help_text="Names and patterns such as openai/*, with commas between them.",
    )
    requests_per_minute = _whole("Model calls.")
    tokens_per_minute = _whole("Of model calls, in and out.")
    max_parallel_calls = _whole("Model calls under way at once, on each key.")
    max_agents = _whole("Agents, however they were made.")
    max_api_keys = _whole("Those that have not ended.", verbose_name="max API keys")
    rate_general = _rate("general requests", "Reading, and changing agents and their memory.")
    rate_llm = _rate("model calls and messages", "What has a model or an agent work.")
    rate_proxy = _rate("agents' model calls", "What agents ask of models meanwhile.")
    rate_uploads = _rate("uploads", "Files for agents.")
    rate_writes = _rate("changes", "Of keys, templates, agents made from them, the account.")

    class Meta:
        abstract = True


class Plan(LimitFields):
    """What every user on it may use and spend. An empty limit is no limit."""

    name = models.CharField(max_length=64, unique=True)
    is_default = models.BooleanField(
        "default", default=False, help_text="Of users whom nobody has put on a plan."
    )
    budget_period = models.CharField(
        max_length=8, choices=BudgetPeriod.choices, default=BudgetPeriod.MONTH
    )
    max_api_keys = _whole("Those that have not ended.", verbose_name="max API keys", default=20)
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

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Leave to ``save_plan`` that there is one default: it takes that from another plan."""


class Unlimited(models.TextChoices):
    """Limits that single users may be freed of. For every model there is ``*``."""

    BUDGET = "budget", "budget"
    REQUESTS = "requests_per_minute", "requests per minute"
    TOKENS = "tokens_per_minute", "tokens per minute"
    PARALLEL_CALLS = "max_parallel_calls", "parallel calls"
    AGENTS = "max_agents", "agents"
    API_KEYS = "max_api_keys", "API keys"


class UserPlan(LimitFields):
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
    budget_period = models.CharField(
        max_length=8,
        choices=(("", "as in the plan"), *BudgetPeriod.choices),
        blank=True,
        default="",
    )
    unlimited = ArrayField(
        models.CharField(max_length=32, choices=Unlimited.choices),
        verbose_name="no limit on",
        default=list,
        blank=True,
        help_text="Whatever the plan says.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[UserPlan]] = models.Manager()

    class Meta:
        verbose_name = "user's plan"
        verbose_name_plural = "users' plans"

    def __str__(self) -> str:
        return f"{self.user_id} on {self.plan or 'the default plan'}"

    def clean(self) -> None:
        """Refuse a limit that is given and taken away."""
        both = [name for name in self.unlimited if getattr(self, name) is not None]
        if both:
            raise ValidationError(dict.fromkeys(both, "Leave it empty, or take the tick away."))
