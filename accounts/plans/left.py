"""What users may still do now."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.conf import settings

from accounts.holdings.holder import holders
from accounts.plans.services import limits_for
from gateway_core.rates import LIMITER, RateClass

if TYPE_CHECKING:
    from uuid import UUID

    from gateway_core.rates import Decision


def told_limits(user_id: UUID) -> dict[str, Any]:
    """Return a user's limits by the names of the models' fields, and what is left of requests."""
    limits = asdict(limits_for(user_id))
    told = {name: limit for name, limit in limits.items() if not name.startswith("rate_")}
    budget = limits["budget"]
    return told | {
        "budget": None if budget is None else f"{budget.normalize():f}",
        "requests": requests_left(user_id),
    }


def requests_left(user_id: UUID) -> dict[str, dict[str, int | None]] | None:
    """Return for each class what is allowed and left; None where nothing is limited."""
    if not settings.ENABLE_RATE_LIMITING:
        return None
    limits = limits_for(user_id)
    quotas = [limits.quota(name) for name in RateClass]
    return {decision.quota.name: _told(decision) for decision in LIMITER.look(str(user_id), quotas)}


def told_left(user_id: UUID) -> dict[str, Any]:
    """Return what a user may have and do, and what is left of it."""
    limits = limits_for(user_id)
    held: dict[str, Any] = {}
    for holder in holders():
        held |= holder.summarise(user_id)
    return {
        "plan": held["plan"],
        "requests": requests_left(user_id),
        "budget": held["budget"],
        "agents": _counted(limits.max_agents, held["agents"]["count"]),
        "api_keys": _counted(limits.max_api_keys, len(held["api_keys"])),
        "allowed_models": limits.allowed_models,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "max_parallel_calls": limits.max_parallel_calls,
    }


def _told(decision: Decision) -> dict[str, int | None]:
    quota = decision.quota
    return {
        "per_hour": quota.per_hour,
        "burst": quota.burst,
        "at_once": quota.at_once or None,
        "remaining": decision.remaining,
        "under_way": decision.under_way,
        "reset_after": decision.reset_after,
    }


def _counted(limit: int | None, used: int) -> dict[str, int | None]:
    return {
        "limit": limit,
        "used": used,
        "remaining": None if limit is None else max(0, limit - used),
    }
