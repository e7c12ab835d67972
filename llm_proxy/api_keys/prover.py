"""What an API key proves, when it is sent in place of an access token."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.principals.principal import Principal, Proof, Scheme
from gateway_core.cache import LocalCache
from gateway_core.errors import Code, TokenRejected
from llm_proxy.api_keys.models import ApiKey, State
from llm_proxy.api_keys.secret import hash_of, is_well_formed

if TYPE_CHECKING:
    from datetime import datetime

_REFUSED_SECONDS: Final = 30.0


class Reason(StrEnum):
    """Why a key is refused; the value is the detail of the answer. None repeats any of the key."""

    MALFORMED = "This is not a whole API key: its check digits don't match. Copy it again."
    UNKNOWN = (
        "No API key has this secret. One that had it was rotated more than once since, or is no "
        "longer kept. See /api/v1/llm/keys."
    )
    REVOKED = "This API key was revoked. Make another one at /api/v1/llm/keys."
    EXPIRED = "This API key has expired. Make another one at /api/v1/llm/keys."
    REPLACED = "This API key was rotated, and the old secret is over. Use the new one."


_EXPIRED: Final = frozenset({Reason.EXPIRED, Reason.REPLACED})

# None of these ever becomes good: a key that has expired can't be prolonged. So a program that goes
# on with a dead key does not reach the database each time.
_refused: LocalCache[str, Reason] = LocalCache(
    "refused API key", ttl=lambda: _REFUSED_SECONDS, max_entries=20_000
)


@sensitive_variables("token")
def prove(token: bytes) -> Proof:
    """Return what a key proves; may query the database, but not for what can't be a key.

    Raises:
        TokenRejected: it is no key, or not any more.
    """
    if not is_well_formed(token):
        raise _refusal(Reason.MALFORMED)
    secret_hash = hash_of(token)
    known = _refused.get(secret_hash)
    if known is not None:
        raise _refusal(known)
    key = ApiKey.objects.of_secret(secret_hash).select_related("user").first()
    if key is None:
        raise _lasting_refusal(secret_hash, Reason.UNKNOWN)
    reason = _fault(key, secret_hash, timezone.now())
    if reason is not None:
        raise _lasting_refusal(secret_hash, reason)
    return Proof(principal=_principal(key, secret_hash), is_suspended=not key.user.is_active)


def _fault(key: ApiKey, secret_hash: str, now: datetime) -> Reason | None:
    state = key.state(now)
    if state is not State.ACTIVE:
        return Reason.REVOKED if state is State.REVOKED else Reason.EXPIRED
    if _ends_at(key, secret_hash) <= now.timestamp():
        return Reason.REPLACED
    return None


def _principal(key: ApiKey, secret_hash: str) -> Principal:
    return Principal(
        user_id=key.user.pk,
        email=key.user.email,
        is_anonymous=key.user.is_anonymous_user,
        scheme=Scheme.API_KEY,
        expires_at=_ends_at(key, secret_hash),
        scopes=frozenset(key.scopes),
        api_key_id=key.pk,
        models=tuple(key.allowed_models),
    )


def _ends_at(key: ApiKey, secret_hash: str) -> float:
    """Return the Unix seconds at which this secret of the key ends."""
    ends = [key.expires_at]
    if secret_hash == key.previous_hash:
        ends.append(key.previous_valid_until)
    return min((end.timestamp() for end in ends if end is not None), default=math.inf)


def _lasting_refusal(secret_hash: str, reason: Reason) -> TokenRejected:
    _refused.put(secret_hash, reason)
    return _refusal(reason)


def _refusal(reason: Reason) -> TokenRejected:
    code = Code.CALLER_TOKEN_EXPIRED if reason in _EXPIRED else Code.CALLER_TOKEN_INVALID
    return TokenRejected(reason, code=code)
