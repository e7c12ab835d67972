"""Who calls, by an Authorization header or a token."""

from __future__ import annotations

from contextlib import nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING

from accounts.principals import memory, proving, refusals
from accounts.principals.principal import Scheme
from accounts.tokens import guesses
from accounts.tokens.bearer import bearer_token
from gateway_core.errors import AccountSuspended, Code, PolicyError, TokenRejected

if TYPE_CHECKING:
    from accounts.principals.principal import Principal, Proof


async def identify(authorization: bytes | None, *, known: Principal | None = None) -> Principal:
    """Return the principal of an Authorization header.

    Args:
        known: what it was when the request began that is still under way. What an access token
            has begun may end after it, unless the user was shut out meanwhile.

    Raises:
        TokenRejected: no token, or one that proves nothing here.
        AccountSuspended: staff have switched the user off, or the user is on the deny-list.
        RateLimited: too many tokens from this address were refused, or too many requests of this
            user, who is suspended.
        KeysUnavailable: the key server does not answer.
        UpstreamError: by the policy, Supabase should say whether the session lives, and can't.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    # Who is looked at again must not be let off because somebody guesses at the same address.
    is_counted = known is None
    return await _identified(bearer_token(authorization), known, is_counted=is_counted)


async def identify_token(token: bytes, *, is_ours: bool = True) -> Principal:
    """Return the principal of a token; raises as ``identify``.

    Args:
        is_ours: it comes from a server of ours, or was good before; nobody guesses it.
    """
    return await _identified(token, None, is_counted=not is_ours)


async def _identified(token: bytes, known: Principal | None, *, is_counted: bool) -> Principal:
    try:
        return await _found(token, known, is_counted=is_counted)
    except PolicyError as error:
        if is_counted:
            refusals.count(error)
        raise


async def _found(token: bytes, known: Principal | None, *, is_counted: bool) -> Principal:
    digest = sha256(token).digest()
    entry = memory.recall(digest)
    if entry is None:
        epoch = memory.epoch()
        try:
            with guesses.counted() if is_counted else nullcontext():
                entry = await proving.prove(token)
        except TokenRejected as error:
            is_over = error.code is Code.CALLER_TOKEN_EXPIRED
            if known is None or known.scheme is not Scheme.SUPABASE or not is_over:
                raise
            return _admitted(await proving.look_up(known))
        memory.remember(digest, entry, since=epoch)
    return _admitted(entry)


def identify_token_sync(token: bytes) -> Principal:
    """Return the principal of a token, blocking on a miss; raises as ``identify`` does."""
    try:
        return _found_sync(token)
    except PolicyError as error:
        refusals.count(error)
        raise


def _found_sync(token: bytes) -> Principal:
    digest = sha256(token).digest()
    entry = memory.recall(digest)
    if entry is None:
        epoch = memory.epoch()
        with guesses.counted():
            entry = proving.prove_sync(token)
        memory.remember(digest, entry, since=epoch)
    return _admitted(entry)


def _admitted(entry: Proof) -> Principal:
    if entry.refusal is None and not entry.is_suspended:
        return entry.principal
    with refusals.named(entry.principal.user_id, entry.principal.api_key_id):
        raise entry.refusal() if entry.refusal else AccountSuspended()
