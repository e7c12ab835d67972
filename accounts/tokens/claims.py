"""What a proved payload says, checked one claim at a time and typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from accounts.tokens.reasons import Reason, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accounts.tokens.jwks import SigningKey
    from accounts.tokens.policy import TokenPolicy

EMAIL_MAX_LENGTH: Final = 320
# Roles of Supabase's own API keys in JWT form. On a self-hosted project they are signed with the
# very key that users' tokens are signed with.
_KEY_ROLES: Final = frozenset({"anon", "service_role"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A verified token of a signed-in user. Times are Unix seconds.

    Attributes:
        user_id: ``sub``, the id of the user in Supabase Auth.
        session_id: the sign-in; it stays the same when the token is refreshed.
        email: may be empty (phone and anonymous users), may change, may be unverified.
        client_id: the third-party OAuth client that the token was issued to, if any.
        assurance: ``aal``, aal1 or aal2.
        key: what proved it.
    """

    user_id: UUID
    session_id: UUID
    email: str
    role: str
    is_anonymous: bool
    client_id: str
    assurance: str
    issued_at: float
    expires_at: float
    key: SigningKey = field(repr=False, compare=False)


def read_claims(payload: bytes, key: SigningKey, policy: TokenPolicy, now: float) -> Claims:
    """Return the claims of a payload whose signature is proved.

    Raises:
        TokenRejected: a claim is missing, malformed or outside the policy.
    """
    members = _object(payload)
    role = _text(members, "role")
    if role in _KEY_ROLES and role not in policy.roles:
        raise refuse(Reason.SUPABASE_KEY)
    issued_at, expires_at = _check_times(members, policy, now)
    _check_origin(members, policy)
    if role not in policy.roles:
        raise refuse(Reason.ROLE)
    is_anonymous = _flag(members, "is_anonymous")
    if is_anonymous and not policy.allow_anonymous:
        raise refuse(Reason.ANONYMOUS)
    client_id = _text(members, "client_id", "")
    if client_id and not policy.allow_oauth_clients:
        raise refuse(Reason.OAUTH_CLIENT)
    return Claims(
        user_id=_uuid(members, "sub"),
        session_id=_uuid(members, "session_id"),
        email=_email(members),
        role=role,
        is_anonymous=is_anonymous,
        client_id=client_id,
        assurance=_text(members, "aal", "aal1"),
        issued_at=issued_at,
        expires_at=expires_at,
        key=key,
    )


def _check_times(
    members: Mapping[str, Any], policy: TokenPolicy, now: float
) -> tuple[float, float]:
    """Return when the token was issued (now, if it doesn't say) and when it expires."""
    expires_at = _number(members, "exp")
    issued_at = _number(members, "iat") if "iat" in members else now
    starts_at = _number(members, "nbf") if "nbf" in members else issued_at
    if expires_at + policy.leeway_seconds <= now:
        raise refuse(Reason.EXPIRED)
    if max(issued_at, starts_at) > now + policy.leeway_seconds:
        raise refuse(Reason.NOT_YET_VALID)
    if expires_at - issued_at > policy.max_lifetime_seconds:
        raise refuse(Reason.LIFETIME)
    return issued_at, expires_at


def _check_origin(members: Mapping[str, Any], policy: TokenPolicy) -> None:
    audience = members.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(name, str) for name in audiences):
        raise refuse(Reason.CLAIMS_MALFORMED)
    if policy.audience not in audiences:
        raise refuse(Reason.AUDIENCE)
    if policy.issuers and _text(members, "iss") not in policy.issuers:
        raise refuse(Reason.ISSUER)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(payload)
    except ValueError as exc:
        raise refuse(Reason.CLAIMS_MALFORMED) from exc
    if not isinstance(members, dict):
        raise refuse(Reason.CLAIMS_MALFORMED)
    return members


def _number(members: Mapping[str, Any], name: str) -> float:
    value = members.get(name)
    # Never infinite, nor not a number: orjson refuses both.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(Reason.CLAIMS_MALFORMED)
    return float(value)


def _text(members: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = members.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise refuse(Reason.CLAIMS_MALFORMED)
    return value


def _flag(members: Mapping[str, Any], name: str) -> bool:
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise refuse(Reason.CLAIMS_MALFORMED)
    return value


def _uuid(members: Mapping[str, Any], name: str) -> UUID:
    value = _text(members, name)
    try:
        parsed = UUID(value)
    except ValueError as exc:
        raise refuse(Reason.CLAIMS_MALFORMED) from exc
    # UUID() also reads braces, URNs and digits without hyphens: two spellings of one user.
    if str(parsed) != value.lower():
        raise refuse(Reason.CLAIMS_MALFORMED)
    return parsed


def _email(members: Mapping[str, Any]) -> str:
    value = _text(members, "email", "")
    if len(value) > EMAIL_MAX_LENGTH or not value.isprintable():
        raise refuse(Reason.CLAIMS_MALFORMED)
    return value
