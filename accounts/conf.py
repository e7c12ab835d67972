"""The settings of this app as typed values, and the verifier that the process shares."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from accounts.tokens.policy import SHARED_ALGORITHM, TokenPolicy
from accounts.tokens.store import JwksStore
from accounts.tokens.verify import TokenVerifier

# SUPABASE_ISSUERS=none: the Auth server writes no ``iss`` (GOTRUE_JWT_ISSUER is unset there).
NO_ISSUER: Final = "none"
_READ_HERE: Final = ("SUPABASE_", "TOKEN_", "JWKS_", "ALLOW_", "CACHE_TTL_JWT")


def token_policy() -> TokenPolicy:
    """Return the policy that the settings describe."""
    return TokenPolicy(
        algorithms=frozenset(settings.SUPABASE_ALGORITHMS) - {SHARED_ALGORITHM},
        secrets=tuple(secret.encode() for secret in settings.SUPABASE_JWT_SECRETS),
        issuers=frozenset(settings.SUPABASE_ISSUERS) - {NO_ISSUER},
        audience=settings.SUPABASE_AUDIENCE,
        roles=frozenset(settings.SUPABASE_ROLES),
        leeway_seconds=settings.TOKEN_LEEWAY_SECONDS,
        max_lifetime_seconds=settings.TOKEN_MAX_LIFETIME_SECONDS,
        allow_anonymous=settings.ALLOW_ANONYMOUS_USERS,
        allow_oauth_clients=settings.ALLOW_OAUTH_CLIENTS,
    )


@cache
def verifier() -> TokenVerifier:
    """Return the verifier of this process."""
    store = None
    if settings.SUPABASE_JWKS_URL:
        store = JwksStore(
            settings.SUPABASE_JWKS_URL,
            soft_ttl_seconds=settings.JWKS_SOFT_TTL_SECONDS,
            hard_ttl_seconds=settings.JWKS_HARD_TTL_SECONDS,
        )
    return TokenVerifier(policy=token_policy(), store=store)


@receiver(setting_changed)
def _begin_anew(*, setting: str, **_context: Any) -> None:
    if setting.startswith(_READ_HERE):
        verifier.cache_clear()
