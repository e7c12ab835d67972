"""What reason, and a user's plan, let an API key be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.utils import timezone

from accounts.plans.services import limits_for
from gateway_core.errors import CountExhausted, FieldInvalid, ModelNotAllowed
from llm_proxy.api_keys.models import ApiKey, Scope, State

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from llm_proxy.api_keys.services import Traits


def check_traits(user_id: UUID, traits: Traits) -> None:
    """Look at the traits that are given.

    Raises:
        FieldInvalid: no name or scope, a budget of nothing, or an expiry in the past.
        ModelNotAllowed: a model is not in the user's plan.
    """
    if not traits.get("name", "-").strip():
        raise FieldInvalid("An API key needs a name.", param="/name")
    if not traits.get("scopes", ["-"]):
        raise FieldInvalid("An API key needs a scope.", param="/scopes")
    _check_budget(traits.get("budget"))
    _check_expiry(traits.get("expires_at"))
    _check_models(user_id, traits.get("allowed_models", []))


def check_budget_has_use(scopes: Collection[str], budget: Decimal | None) -> None:
    """Refuse a budget that nothing would be paid from: agents spend on their user's.

    Raises:
        FieldInvalid: it is one.
    """
    if budget is not None and Scope.LLM not in scopes:
        raise FieldInvalid(
            "Agents spend on the account's budget. A key's own is for model calls: give it the "
            "scope llm, too, or no budget.",
            param="/budget",
        )


def check_room(user_id: UUID) -> None:
    """See whether the user may have one more key. Others of theirs wait for the transaction to end.

    Raises:
        CountExhausted: they have as many as their plan allows.
    """
    get_user_model().objects.select_for_update(no_key=True).get(pk=user_id)
    allowed = limits_for(user_id).max_api_keys
    if allowed is None:
        return
    active = ApiKey.objects.for_user(user_id).in_state(State.ACTIVE, timezone.now())
    if active.count() >= allowed:
        raise CountExhausted(
            f"Your plan allows {allowed} API keys at a time. Revoke one that you don't use."
        )


def _check_budget(budget: Decimal | None) -> None:
    if budget is not None and not budget > 0:
        raise FieldInvalid("A budget is more than nothing.", param="/budget")


def _check_expiry(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= timezone.now():
        raise FieldInvalid("An API key expires in the future.", param="/expires_at")


def _check_models(user_id: UUID, models: Collection[str]) -> None:
    if not models:
        return
    limits = limits_for(user_id)
    for model in models:
        if not limits.allow_model(model):
            raise ModelNotAllowed(
                f"Your plan has no model {model}. GET /api/v1/llm/models lists those it has.",
                param="/models",
            )
