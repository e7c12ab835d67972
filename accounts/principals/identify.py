"""Who calls, by an Authorization header or a token."""

from __future__ import annotations

from contextlib import nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING

from accounts.principals import memory, proving
from accounts.tokens import guesses
from accounts.tokens.bearer import bearer_token
from gateway_core.errors import AccountSuspended, Code, TokenRejected

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from accounts.principals.principal import Principal, Proof


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
    entry = memory.recall(digest)
    if entry is None:
        epoch = memory.epoch()
        try:
            with guarded():
                entry = await proving.prove(token)
        except TokenRejected as error:
            if known is not None and error.code is Code.CALLER_TOKEN_EXPIRED:
                _admitted(await proving.look_up(known))
            raise
        memory.remember(digest, entry, since=epoch)
    return _admitted(entry)


def identify_token_sync(token: bytes) -> Principal:
    """Return the principal of a token, blocking on a miss; raises as ``identify`` does."""
    digest = sha256(token).digest()
    entry = memory.recall(digest)
    if entry is None:
        epoch = memory.epoch()
        with guesses.counted():
            entry = proving.prove_sync(token)
        memory.remember(digest, entry, since=epoch)
    return _admitted(entry)


def _admitted(entry: Proof) -> Principal:
    if entry.refusal is not None:
        raise entry.refusal()
    if entry.is_suspended:
        raise AccountSuspended
    return entry.principal
