"""From the Authorization header to the principal, for both planes.

A principal is worked out once and remembered for ``CACHE_TTL_JWT`` seconds at the most, in this
process and under the SHA-256 of the token: a known token costs neither a signature nor a query nor
a thread. The memory is worthless at once when the key that proved the token is no longer published,
and when the user is forgotten, which ``services`` bring about in every process; requests under way
are then proved again.

Access tokens of Supabase are one kind of token. Apps that issue others, which begin with a prefix
of their own, register what proves them. Whoever is on the deny-list is refused with any of them.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings

from accounts import conf
from accounts.models import Denial, User
from accounts.sessions import liveness
from accounts.sessions.liveness import Session, SessionPolicy
from accounts.tokens import guesses
from accounts.tokens.bearer import bearer_token
from gateway_core.cache import LocalCache, on_invalidate
from gateway_core.errors import AccountSuspended, Code, TokenRejected
from gateway_core.metrics import CACHE_LOOKUPS
from gateway_core.postgresql.away import required
from gateway_core.proxy.guard import recheck

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from accounts.tokens.claims import Claims
    from accounts.tokens.verify import TokenVerifier
    from gateway_core.errors import GatewayError

# What other processes are told to forget; the key is the user's id.
INVALIDATION_SUBJECT: Final = "principal"


class Scheme(StrEnum):
    """What a principal was proved by."""

    SUPABASE = "supabase"
    API_KEY = "api_key"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever makes a request.

    Attributes:
        session_id: the Supabase session, None for other schemes.
        expires_at: Unix seconds after which nothing may go on in this principal's name; the
            tolerance for clocks is in it.
        scopes: what the credential is limited to, None when it is not.
        api_key_id: of the API key that was presented.
    """

    user_id: UUID
    email: str
    is_anonymous: bool
    scheme: Scheme
    expires_at: float
    session_id: UUID | None = None
    scopes: frozenset[str] | None = None
    api_key_id: UUID | None = None


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a token has proved, and what is remembered of it.

    Attributes:
        is_suspended: the user may not go on; remembered, or hammering would reach the database.
        refusal: makes the error for somebody on the deny-list; remembered for the same reason.
        good_until: Unix seconds after which it has to be found out again.
        holds: says whether what proved the token would still prove it.
    """

    principal: Principal
    is_suspended: bool = False
    refusal: Callable[[], GatewayError] | None = None
    good_until: float = math.inf
    holds: Callable[[], bool] = _always


_provers: dict[bytes, Callable[[bytes], Proof]] = {}
_cache: LocalCache[bytes, Proof] = LocalCache(
    "principal", ttl=lambda: settings.CACHE_TTL_JWT, max_entries=20_000
)
_hits = CACHE_LOOKUPS.labels("principal", "hit")
_misses = CACHE_LOOKUPS.labels("principal", "miss")
_epoch = 0


def register_prover(prefix: bytes, prove: Callable[[bytes], Proof]) -> None:
    """Have tokens that begin with ``prefix`` proved by ``prove``, which may query the database.

    It raises TokenRejected for a token that proves nothing. Whether the user is on the deny-list is
    none of its business.
    """
    _provers[prefix] = prove


async def identify(authorization: bytes | None, *, known: Principal | None = None) -> Principal:
    """Return the principal of an Authorization header.

    Args:
        known: what it was when the request began that is still under way. That its token has
            expired meanwhile does not hide then that the user was shut out.

    Raises:
        TokenRejected: no token, or one that proves nothing here.
        AccountSuspended: staff have switched the user off, or the user is on the deny-list.
        RateLimited: too many tokens from this address were refused.
        KeysUnavailable: the key server does not answer.
        UpstreamError: by the policy, Supabase should say whether the session lives, and can't.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    # Who is looked at again must not be let off because somebody guesses at the same address.
    guarded = guesses.counted if known is None else nullcontext
    return await _identified(bearer_token(authorization), known, guarded)


async def identify_token(token: bytes, *, is_ours: bool = True) -> Principal:
    """Return the principal of a token; raises as ``identify``.

    Args:
        is_ours: it comes from a server of ours, or was good before; nobody guesses it.
    """
    return await _identified(token, None, nullcontext if is_ours else guesses.counted)


async def _identified(
    token: bytes, known: Principal | None, guarded: Callable[[], AbstractContextManager[None]]
) -> Principal:
    digest = sha256(token).digest()
    entry = _recall(digest)
    if entry is None:
        epoch = _epoch
        try:
            with guarded():
                entry = await _work_out(token)
        except TokenRejected as error:
            if known is not None and error.code is Code.CALLER_TOKEN_EXPIRED:
                _admitted(await _looked_up_in_thread(known))
            raise
        _remember(digest, entry, epoch)
    return _admitted(entry)


def identify_token_sync(token: bytes) -> Principal:
    """Return the principal of a token, blocking on a miss; raises as ``identify`` does."""
    digest = sha256(token).digest()
    entry = _recall(digest)
    if entry is None:
        epoch = _epoch
        with guesses.counted():
            entry = _work_out_sync(token)
        _remember(digest, entry, epoch)
    return _admitted(entry)


def forget_user(user_id: UUID) -> None:
    """Drop what this process remembers of a user. The next request of theirs reads the database."""
    global _epoch  # noqa: PLW0603 - see _remember
    _epoch += 1
    liveness.forget_user(user_id)
    _cache.forget_where(lambda entry: entry.principal.user_id == user_id)


def _recall(digest: bytes) -> Proof | None:
    entry = _cache.get(digest)
    if entry is None or not entry.holds():
        _misses.inc()
        return None
    _hits.inc()
    return entry


def _remember(digest: bytes, entry: Proof, epoch: int) -> None:
    # If anybody was forgotten meanwhile, the entry may be built on what was to be forgotten.
    if epoch == _epoch:
        until = min(entry.principal.expires_at, entry.good_until)
        _cache.put(digest, entry, ttl=until - time.time())


async def _work_out(token: bytes) -> Proof:
    prove = _prover(token)
    if prove is not None:
        proof: Proof = await _proved_in_thread(prove, token)
        return proof
    verifier = conf.verifier()
    claims = await verifier.averify(token)
    good_until = math.inf
    if liveness.policy() is SessionPolicy.ALWAYS:
        good_until = await liveness.arequire_live(_session(claims, token))
    recognised: Proof = await _recognised_in_thread(verifier, claims, good_until)
    return recognised


def _work_out_sync(token: bytes) -> Proof:
    prove = _prover(token)
    if prove is not None:
        return _proved(prove, token)
    verifier = conf.verifier()
    claims = verifier.verify(token)
    good_until = math.inf
    if liveness.policy() is SessionPolicy.ALWAYS:
        good_until = liveness.require_live(_session(claims, token))
    return _recognised(verifier, claims, good_until)


def _prover(token: bytes) -> Callable[[bytes], Proof] | None:
    return next((prove for prefix, prove in _provers.items() if token.startswith(prefix)), None)


def _session(claims: Claims, token: bytes) -> Session:
    return Session(
        user_id=claims.user_id,
        session_id=claims.session_id,
        expires_at=claims.expires_at,
        token=token,
    )


def _admitted(entry: Proof) -> Principal:
    if entry.refusal is not None:
        raise entry.refusal()
    if entry.is_suspended:
        raise AccountSuspended
    return entry.principal


def _recognised(verifier: TokenVerifier, claims: Claims, good_until: float) -> Proof:
    with required():
        denial = Denial.objects.find(claims.user_id, claims.session_id)
        # Nobody who is denied is made a user by a token that is still good.
        user = None if denial else User.objects.recognise(claims)
    proof = Proof(
        principal=_principal(claims, user, verifier.policy.leeway_seconds),
        is_suspended=user is not None and not user.is_active,
        good_until=good_until,
        holds=lambda: verifier is conf.verifier() and verifier.trusts(claims.key),
    )
    return _denied(proof, denial)


def _principal(claims: Claims, user: User | None, leeway_seconds: float) -> Principal:
    return Principal(
        user_id=claims.user_id,
        email=user.email if user else claims.email,
        is_anonymous=user.is_anonymous_user if user else claims.is_anonymous,
        scheme=Scheme.SUPABASE,
        expires_at=claims.expires_at + leeway_seconds,
        session_id=claims.session_id,
    )


def _proved(prove: Callable[[bytes], Proof], token: bytes) -> Proof:
    with required():
        proof = prove(token)
        return _denied(proof, Denial.objects.find(proof.principal.user_id))


def _looked_up(principal: Principal) -> Proof:
    """Return how it stands with somebody whose token says nothing any more."""
    with required():
        is_active = User.objects.filter(pk=principal.user_id, is_active=True).exists()
        denial = Denial.objects.find(principal.user_id, principal.session_id)
    return _denied(Proof(principal=principal, is_suspended=not is_active), denial)


def _denied(proof: Proof, denial: Denial | None) -> Proof:
    if denial is None:
        return proof
    until = denial.until.timestamp() if denial.until else math.inf
    return replace(proof, refusal=denial.as_error, good_until=min(proof.good_until, until))


def _begin_anew(user_id: UUID) -> None:
    forget_user(user_id)
    recheck(user_id)


# Not "thread sensitive": that would queue every first request of the process on one thread.
_recognised_in_thread = database_sync_to_async(_recognised, thread_sensitive=False)
_looked_up_in_thread = database_sync_to_async(_looked_up, thread_sensitive=False)
_proved_in_thread = database_sync_to_async(_proved, thread_sensitive=False)
on_invalidate(INVALIDATION_SUBJECT, lambda key: _begin_anew(UUID(key)))
