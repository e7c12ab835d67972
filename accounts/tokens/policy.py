"""What a token must be to be accepted: one frozen value, built once from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# What Supabase Auth can sign with (its conf/jwk.go, version 2.196) and what other standard
# signers use with the same keys. HS256 needs a shared secret; "none" is not an algorithm.
ASYMMETRIC_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
SHARED_ALGORITHM: Final = "HS256"
# RFC 7518 §3.2: a key at least as long as the hash.
SHARED_SECRET_MIN_BYTES: Final = 32
# Supabase allows a week at the most; the rest is tolerance.
DEFAULT_MAX_LIFETIME_SECONDS: Final = 7 * 86400 + 20 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """The rules of one deployment.

    Attributes:
        algorithms: asymmetric algorithms accepted with a published key.
        secrets: shared HS256 secrets, the newest first; HS256 is refused when there are none.
        issuers: accepted ``iss`` values, compared exactly; empty means that it is not checked.
        audience: what ``aud`` must be or contain.
        roles: accepted values of ``role``.
        leeway_seconds: tolerance for clocks that differ.
        max_lifetime_seconds: the longest accepted ``exp - iat``.
        allow_anonymous: accept Supabase's anonymous sign-ins.
        allow_oauth_clients: accept tokens issued to third-party OAuth clients.
    """

    algorithms: frozenset[str] = frozenset({"ES256", "RS256", "EdDSA"})
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    issuers: frozenset[str] = frozenset()
    audience: str = "authenticated"
    roles: frozenset[str] = frozenset({"authenticated"})
    leeway_seconds: float = 30.0
    max_lifetime_seconds: float = DEFAULT_MAX_LIFETIME_SECONDS
    allow_anonymous: bool = True
    allow_oauth_clients: bool = False
