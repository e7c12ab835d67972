"""What is done to API keys. Every change ends in each process proving the user's requests anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.principals.memory import INVALIDATION_SUBJECT
from gateway_core import cache
from gateway_core.audit.services import record_change
from gateway_core.errors import PolicyError, ResourceConflict, ResourceNotFound
from llm_proxy.api_keys import allowance
from llm_proxy.api_keys.models import ApiKey, Scope, State
from llm_proxy.api_keys.secret import hash_of, hint_of, new_secret
from llm_proxy.virtual_keys.services import retire_virtual_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from accounts.models import User

DEFAULT_OVERLAP_SECONDS: Final = 24 * 3600
MAX_OVERLAP_SECONDS: Final = 30 * 24 * 3600


class Traits(TypedDict, total=False):
    """What the owner of a key decides."""

    name: str
    scopes: list[str]
    allowed_models: list[str]
    budget: Decimal | None
    budget_period: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A key and its secret, which nobody can be told a second time."""

    key: ApiKey
    secret: str = field(repr=False)


@sensitive_variables("secret")
def create_api_key(*, user: User, traits: Traits) -> Issued:
    """Make a key.

    Anonymous users can't: they have no way back to their account, and so none to revoke a key.

    Raises:
        PolicyError: the user is anonymous.
        CountExhausted: they have as many keys as their plan allows.
        FieldInvalid, ModelNotAllowed: a trait can't be.
    """
    if user.is_anonymous_user:
        raise PolicyError("Anonymous accounts can't have API keys. Sign in with an account.")
    allowance.check_traits(user.pk, traits)
    allowance.check_budget_has_use(traits.get("scopes", [Scope.LLM]), traits.get("budget"))
    secret = new_secret()
    with transaction.atomic():
        allowance.check_room(user.pk)
        key = ApiKey.objects.create(
            user=user, hint=hint_of(secret), secret_hash=hash_of(secret.encode()), **traits
        )
        _record(key, by=user, action="create", facts=traits)
    return Issued(key=key, secret=secret)


@sensitive_variables("secret")
def rotate_api_key(
    *, key_id: UUID, by: User, overlap_seconds: int = DEFAULT_OVERLAP_SECONDS
) -> Issued:
    """Give a key another secret.

    Args:
        overlap_seconds: how long the secret that it has now goes on to work; 0 to
            ``MAX_OVERLAP_SECONDS``. One from before that is over at once.

    Raises:
        ResourceConflict: the key is expired or revoked.
    """
    secret = new_secret()
    with transaction.atomic():
        key = _locked(key_id)
        now = _require_active(key)
        key.previous_hash = key.secret_hash
        key.previous_valid_until = now + timedelta(seconds=overlap_seconds)
        key.secret_hash, key.hint = hash_of(secret.encode()), hint_of(secret)
        key.rotated_at = now
        key.save(
            update_fields=(
                *("secret_hash", "hint", "rotated_at"),
                *("previous_hash", "previous_valid_until"),
            )
        )
        _record(key, by=by, action="rotate", facts={"overlap_seconds": overlap_seconds})
        _prove_anew(key)
    return Issued(key=key, secret=secret)


def update_api_key(*, key_id: UUID, by: User, traits: Traits) -> ApiKey:
    """Change what the owner decides; returns the key as it is then.

    Raises:
        ResourceConflict: the key is expired or revoked.
        FieldInvalid, ModelNotAllowed: a trait can't be.
    """
    with transaction.atomic():
        key = _locked(key_id)
        _require_active(key)
        changes: Any = {
            name: value for name, value in traits.items() if getattr(key, name) != value
        }
        if not changes:
            return key
        allowance.check_traits(key.user_id, changes)
        for name, value in changes.items():
            setattr(key, name, value)
        if changes.keys() & {"scopes", "budget"}:
            allowance.check_budget_has_use(key.scopes, key.budget)
        key.save(update_fields=tuple(changes))
        _record(key, by=by, action="update", facts=changes)
        _prove_anew(key)
    return key


def revoke_api_key(*, key_id: UUID, by: User | None) -> bool:
    """End a key for good, within a second in every process.

    Args:
        by: who does it; None for the gateway itself.

    Returns:
        Whether anything changed.
    """
    with transaction.atomic():
        key = _locked(key_id)
        if key.revoked_at is not None:
            return False
        key.revoked_at = timezone.now()
        key.save(update_fields=("revoked_at",))
        if key.virtual_key_id is not None:
            retire_virtual_key(virtual_key_id=key.virtual_key_id)
        _record(key, by=by, action="revoke")
        _prove_anew(key)
    return True


def revoke_expired(batch_size: int) -> Iterator[int]:
    """Revoke the keys that have expired, so many between two pauses; yields how many each time."""
    while True:
        expired = ApiKey.objects.left_over(timezone.now()).order_by("expires_at")
        ids = list(expired.values_list("pk", flat=True)[:batch_size])
        if not ids:
            return
        yield sum(revoke_api_key(key_id=key_id, by=None) for key_id in ids)


def _locked(key_id: UUID) -> ApiKey:
    """Return the row; whoever else wants to change it waits for the transaction to end."""
    key = ApiKey.objects.select_for_update().filter(pk=key_id).first()
    if key is None:
        raise ResourceNotFound
    return key


def _require_active(key: ApiKey) -> datetime:
    """Return the time now, at which the key is active.

    A key that has expired can't be prolonged: nobody counts with a dead key's coming back.
    """
    now = timezone.now()
    state = key.state(now)
    if state is not State.ACTIVE:
        raise ResourceConflict(f"This API key is {state.value}, for good. Make another one.")
    return now


def _prove_anew(key: ApiKey) -> None:
    transaction.on_commit(partial(cache.invalidate, INVALIDATION_SUBJECT, str(key.user_id)))


def _record(
    key: ApiKey, *, by: User | None, action: str, facts: Mapping[str, Any] | None = None
) -> None:
    record_change(actor=by, action=f"api_key.{action}", resource=f"api_key:{key.pk}", facts=facts)
