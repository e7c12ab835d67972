"""What one user may use and spend: the plan's limits with the user's own on top."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings

from gateway_core.rates import quota

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from accounts.plans.models import Plan, UserPlan
    from gateway_core.rates import Quota, RateClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits by the names of the models' fields.

    None, and no models, is no limit. A rate that is empty is that of the settings.

    Attributes:
        budget: US dollars in each period.
        budget_period: a ``BudgetPeriod``.
        allowed_models: names and patterns.
        max_parallel_calls: on each key.
        rate_general: like the others in the form that ``gateway_core.rates.quota`` reads.
    """

    budget: Decimal | None
    budget_period: str
    allowed_models: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_parallel_calls: int | None
    max_agents: int | None
    max_api_keys: int | None
    rate_general: str = ""
    rate_llm: str = ""
    rate_proxy: str = ""
    rate_uploads: str = ""
    rate_writes: str = ""

    @classmethod
    def of(cls, plan: Plan, own: UserPlan | None) -> Self:
        """Return those of a user on a plan; ``own`` are the user's."""
        return cls(**{field.name: _value(field.name, plan, own) for field in fields(cls)})

    def quota(self, counts_as: RateClass) -> Quota:
        """Return how many requests of a class may be made."""
        form = getattr(self, f"rate_{counts_as.value}") or settings.RATE_LIMITS[counts_as.value]
        return quota(counts_as.value, form)

    def allow_model(self, name: str) -> bool:
        """Say whether a model may be called."""
        return covers(self.allowed_models, name)


def covers(patterns: Iterable[str], name: str) -> bool:
    """Say whether a model is among these names and patterns; among none is every model.

    A ``*`` stands for any characters. A pattern that is covered is so with all that it covers.
    """
    return not patterns or any(
        name == pattern or ("*" in pattern and fnmatchcase(name, pattern)) for pattern in patterns
    )


def _value(name: str, plan: Plan, own: UserPlan | None) -> Any:
    if own is not None and name in own.unlimited:
        return None
    value = getattr(own, name, None)
    if value is None or value in ([], ""):
        value = getattr(plan, name)
    return tuple(value) if isinstance(value, list) else value
