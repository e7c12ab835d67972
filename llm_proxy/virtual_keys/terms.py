"""What LiteLLM is told to hold users and keys to, each limit where LiteLLM really does.

Measured on 1.109.1 with one worker, for keys of the type ``llm_api`` that belong to a user:

| limit | of the user | of the key |
|---|---|---|
| budget and period | over all keys together, from the next call on | beside the user's |
| requests and tokens a minute | over all keys together | each key |
| calls at once | **not at all** | each key |
| models | an empty list doesn't free them again; ``/v1/models`` shows all | both are right |

So the user's budget and rates are the LiteLLM user's, and hold for chat, agents and API keys taken
together; models and calls at once are each key's. A limit of null is none, one of 0 lets nothing
through; a key without models may use all. The call that crosses a budget still succeeds. Budget
periods are calendar ones in UTC: ``1d`` until midnight, ``7d`` until Monday, ``30d`` until the
first of the month; a change of period sets the end anew and keeps the spending.

Unless its ``general_settings`` say ``disable_budget_reservation: true``, LiteLLM takes the dearest
answer that a model could give off a budget until the call is over: with little left, or a model
that may say much, of several calls at once all but one are refused.

With several workers and no Redis, a worker goes on with old terms for up to a minute, so that the
gateway checks for itself what it can: blocked keys and models.

An API key's expiry is not among the terms: it is the gateway that takes API keys, and checks that.
What no key has (rates of its own, an end) is told as null all the same, so that it goes again if
somebody else has set it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from accounts.plans.services import covers
from llm_proxy.virtual_keys.models import VirtualKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from accounts.plans.services import Limits
    from llm_proxy.api_keys.models import ApiKey

# A list with nothing in it would be every model, so this is LiteLLM's own name for none.
NO_MODEL: Final = "no-default-models"
# Where LiteLLM keeps what it was told under another name.
_MEMBERS: Final = {"duration": "expires"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Fields of LiteLLM's ``/user/update`` and ``/key/update``, all of them each time."""

    user: dict[str, Any]
    key: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """What ``VirtualKey.applied_limits`` keeps of terms."""
        document = orjson.dumps([self.user, self.key], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(document).hexdigest()


def terms_of(key: VirtualKey, limits: Limits, api_key: ApiKey | None) -> Terms:
    """Return the terms of a key.

    Args:
        limits: of its user.
        api_key: that it belongs to; None for a managed one.
    """
    return Terms(
        user=user_terms(limits),
        key={
            "user_id": str(key.user_id),
            "models": _models(limits, api_key),
            "max_parallel_requests": limits.max_parallel_calls,
            "rpm_limit": None,
            "tpm_limit": None,
            "duration": None,
            "max_budget": _amount(api_key.budget) if api_key else None,
            "budget_duration": str(api_key.budget_period) if api_key else None,
            "blocked": key.state == VirtualKey.State.BLOCKED,
        },
    )


def user_terms(limits: Limits) -> dict[str, Any]:
    """Return the terms of a user with these limits."""
    return {
        "max_budget": _amount(limits.budget),
        "budget_duration": str(limits.budget_period),
        "rpm_limit": limits.requests_per_minute,
        "tpm_limit": limits.tokens_per_minute,
    }


def are_met(terms: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Say whether a user's or key's row in LiteLLM is as the terms say."""
    members = ((_MEMBERS.get(name, name), value) for name, value in terms.items())
    return all(_plain(row.get(member)) == _plain(value) for member, value in members)


def _models(limits: Limits, api_key: ApiKey | None) -> list[str]:
    """Return what both the plan and the API key allow."""
    planned = list(limits.allowed_models)
    chosen = list(api_key.allowed_models) if api_key else []
    if not planned or not chosen:
        return planned or chosen
    both = dict.fromkeys(_both(one, other) for one in chosen for other in planned)
    return [name for name in both if name] or [NO_MODEL]


def _both(one: str, other: str) -> str | None:
    """Return what is in both of two names or patterns, None when nothing is.

    Of patterns that merely overlap it is all of ``one``: the gateway's own check is exact.
    """
    if covers((other,), one):
        return one
    if covers((one,), other):
        return other
    may_overlap = "*" in one and "*" in other
    for end, has_end in ((0, str.startswith), (-1, str.endswith)):
        mine, its = one.split("*")[end], other.split("*")[end]
        may_overlap = may_overlap and (has_end(mine, its) or has_end(its, mine))
    return one if may_overlap else None


def _amount(budget: Decimal | None) -> float | None:
    return None if budget is None else float(budget)


def _plain(value: Any) -> Any:
    """Return a value in one of the ways in which LiteLLM writes it: no is null, lists vary."""
    if isinstance(value, list):
        return sorted(value)
    return value or None if isinstance(value, bool) else value
