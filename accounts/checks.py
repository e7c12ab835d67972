"""Settings of this app that can't work, found before the first request.

Run by every management command, and by ``manage.py check``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

from accounts.conf import NO_ISSUER
from accounts.sessions.liveness import SessionPolicy
from accounts.supabase.keys import KeyKind, kind_of
from accounts.tokens.fetch import is_trustworthy
from accounts.tokens.policy import (
    ASYMMETRIC_ALGORITHMS,
    SHARED_ALGORITHM,
    SHARED_SECRET_MIN_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY_ROLES = {"anon", "service_role"}


@register(Tags.security)
def check_token_settings(**_options: Any) -> list[Error]:
    """Return what is wrong with the settings that tokens are verified by."""
    return [*_sources(), *_algorithms(), *_claims(), *_times()]


@register(Tags.security)
def check_session_settings(**_options: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings that Supabase is asked by."""
    return [*_policy(), *_keys()]


def _policy() -> Iterator[Error]:
    policies = [policy.value for policy in SessionPolicy]
    if settings.SESSION_POLICY not in policies:
        yield Error(
            f"SESSION_POLICY is {settings.SESSION_POLICY!r}.",
            hint=f"Choose from {', '.join(policies)}.",
            id="accounts.E011",
        )
    elif settings.SESSION_POLICY != SessionPolicy.OFF and not settings.SUPABASE_URL:
        yield Error(
            "SESSION_POLICY has Supabase asked about sessions, and there is no SUPABASE_URL.",
            hint="Set it, or SESSION_POLICY=off: then sessions that were signed out go on until "
            "their access tokens expire.",
            id="accounts.E012",
        )
    if settings.SUPABASE_BAN_SUSPENDED and not settings.SUPABASE_SERVICE_KEY:
        yield Error(
            "SUPABASE_BAN_SUSPENDED needs SUPABASE_SERVICE_KEY.",
            hint="Copy the secret key of the project.",
            id="accounts.E013",
        )


def _keys() -> Iterator[CheckMessage]:
    asks = settings.SESSION_POLICY != SessionPolicy.OFF and settings.SUPABASE_URL
    if asks and not settings.SUPABASE_KEY and not settings.SUPABASE_SERVICE_KEY:
        yield Warning(
            "Supabase is asked about sessions, and there is no key to ask with.",
            hint="Set SUPABASE_KEY. Only an Auth server with no API gateway before it needs none.",
            id="accounts.W016",
        )
    if kind_of(settings.SUPABASE_SERVICE_KEY) is KeyKind.PUBLISHABLE:
        yield Error(
            "SUPABASE_SERVICE_KEY is a publishable key, which administers nothing.",
            hint="Copy the secret key (sb_secret_…), or the legacy service_role key.",
            id="accounts.E014",
        )
    if kind_of(settings.SUPABASE_KEY) is KeyKind.SECRET:
        yield Error(
            "SUPABASE_KEY is a secret key, and would go out with calls in the name of users.",
            hint="Copy the publishable key (sb_publishable_…), or the legacy anon key.",
            id="accounts.E015",
        )


def _sources() -> Iterator[Error]:
    if not settings.SUPABASE_JWKS_URL and not settings.SUPABASE_JWT_SECRETS:
        yield Error(
            "Nothing proves a token: there is neither a key server nor a shared secret.",
            hint="Set SUPABASE_URL, or SUPABASE_JWT_SECRET for a project that signs with HS256.",
            id="accounts.E001",
        )
    if any(len(s.encode()) < SHARED_SECRET_MIN_BYTES for s in settings.SUPABASE_JWT_SECRETS):
        yield Error(
            f"A secret in SUPABASE_JWT_SECRET is shorter than {SHARED_SECRET_MIN_BYTES} bytes.",
            hint="Copy the whole JWT secret of the project; a shorter one can be guessed.",
            id="accounts.E002",
        )
    if settings.SUPABASE_JWKS_URL and not is_trustworthy(settings.SUPABASE_JWKS_URL):
        yield Error(
            "Signing keys would be fetched without TLS from another host.",
            hint="Use an https address in SUPABASE_URL or SUPABASE_JWKS_URL.",
            id="accounts.E003",
        )


def _algorithms() -> Iterator[Error]:
    named = set(settings.SUPABASE_ALGORITHMS)
    unknown = sorted(named - ASYMMETRIC_ALGORITHMS - {SHARED_ALGORITHM})
    if unknown:
        yield Error(
            f"SUPABASE_ALGORITHMS names what can't be verified: {', '.join(unknown)}.",
            hint=f"Choose from {', '.join(sorted(ASYMMETRIC_ALGORITHMS))}.",
            id="accounts.E004",
        )
    if SHARED_ALGORITHM in named and not settings.SUPABASE_JWT_SECRETS:
        yield Error(
            "SUPABASE_ALGORITHMS names HS256 and there is no shared secret.",
            hint="Set SUPABASE_JWT_SECRET, or leave HS256 out.",
            id="accounts.E005",
        )


def _claims() -> Iterator[Error]:
    if not settings.SUPABASE_AUDIENCE or not settings.SUPABASE_ROLES:
        yield Error(
            "SUPABASE_AUDIENCE and SUPABASE_ROLES must not be empty.",
            hint="Supabase writes authenticated in both.",
            id="accounts.E006",
        )
    if _KEY_ROLES.intersection(settings.SUPABASE_ROLES):
        yield Error(
            "SUPABASE_ROLES would let in Supabase's API keys, which name no user.",
            hint="Leave out anon and service_role.",
            id="accounts.E007",
        )
    if NO_ISSUER in settings.SUPABASE_ISSUERS and len(settings.SUPABASE_ISSUERS) > 1:
        yield Error(
            "SUPABASE_ISSUERS says none and names issuers as well.",
            hint="Write none alone where tokens have no iss, or list the issuers.",
            id="accounts.E008",
        )


def _times() -> Iterator[Error]:
    if not 0 < settings.JWKS_SOFT_TTL_SECONDS < settings.JWKS_HARD_TTL_SECONDS:
        yield Error(
            "JWKS_SOFT_TTL_SECONDS must be above 0 and below JWKS_HARD_TTL_SECONDS.",
            hint="Keys are renewed after the soft TTL and not trusted after the hard one.",
            id="accounts.E009",
        )
    if not settings.TOKEN_LEEWAY_SECONDS < settings.TOKEN_MAX_LIFETIME_SECONDS:
        yield Error(
            "TOKEN_LEEWAY_SECONDS must be below TOKEN_MAX_LIFETIME_SECONDS.",
            hint="The leeway makes up for clocks that differ: 30 seconds are plenty.",
            id="accounts.E010",
        )
