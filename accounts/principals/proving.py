"""What tokens prove: those of Supabase, and those of apps that register what proves theirs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from channels.db import database_sync_to_async

from accounts import conf
from accounts.models import Denial, User
from accounts.principals.principal import Principal, Proof, Scheme
from accounts.principals.refusals import named
from accounts.sessions import liveness
from accounts.sessions.liveness import Session, SessionPolicy
from gateway_core.postgresql.away import required

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.tokens.claims import Claims
    from accounts.tokens.verify import TokenVerifier

_provers: dict[bytes, Callable[[bytes], Proof]] = {}


def register_prover(prefix: bytes, prove: Callable[[bytes], Proof]) -> None:
    """Have tokens that begin with ``prefix`` proved by ``prove``, which may query the database.

    It raises TokenRejected for a token that proves nothing. Whether the user is on the deny-list is
    none of its business.
    """
    _provers[prefix] = prove


async def prove(token: bytes) -> Proof:
    """Return what a token proves; raises as ``identify``."""
    prover = _prover(token)
    if prover is not None:
        proof: Proof = await _proved_in_thread(prover, token)
        return proof
    verifier = conf.verifier()
    claims = await verifier.averify(token)
    good_until = math.inf
    with named(claims.user_id):
        if liveness.policy() is SessionPolicy.ALWAYS:
            good_until = await liveness.arequire_live(_session(claims, token))
        recognised: Proof = await _recognised_in_thread(verifier, claims, good_until)
    return recognised


def prove_sync(token: bytes) -> Proof:
    """Return what a token proves, blocking; raises as ``identify``."""
    prover = _prover(token)
    if prover is not None:
        return _proved(prover, token)
    verifier = conf.verifier()
    claims = verifier.verify(token)
    good_until = math.inf
    with named(claims.user_id):
        if liveness.policy() is SessionPolicy.ALWAYS:
            good_until = liveness.require_live(_session(claims, token))
        return _recognised(verifier, claims, good_until)


async def look_up(principal: Principal) -> Proof:
    """Return how it stands with somebody whose token says nothing any more."""
    found: Proof = await _looked_up_in_thread(principal)
    return found


def _prover(token: bytes) -> Callable[[bytes], Proof] | None:
    return next((prove for prefix, prove in _provers.items() if token.startswith(prefix)), None)


def _session(claims: Claims, token: bytes) -> Session:
    return Session(
        user_id=claims.user_id,
        session_id=claims.session_id,
        expires_at=claims.expires_at,
        token=token,
    )


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
    with required():
        is_active = User.objects.filter(pk=principal.user_id, is_active=True).exists()
        denial = Denial.objects.find(principal.user_id, principal.session_id)
    return _denied(Proof(principal=principal, is_suspended=not is_active), denial)


def _denied(proof: Proof, denial: Denial | None) -> Proof:
    if denial is None:
        return proof
    until = denial.until.timestamp() if denial.until else math.inf
    return replace(proof, refusal=denial.as_error, good_until=min(proof.good_until, until))


# Not "thread sensitive": that would queue every first request of the process on one thread.
_recognised_in_thread = database_sync_to_async(_recognised, thread_sensitive=False)
_looked_up_in_thread = database_sync_to_async(_looked_up, thread_sensitive=False)
_proved_in_thread = database_sync_to_async(_proved, thread_sensitive=False)
