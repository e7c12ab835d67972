"""Whether a session still lives at Supabase Auth, asked as often as the policy says.

``off`` asks never: a session that was signed out there goes on until its access token expires.
``sensitive`` asks before what can't be undone; ``always`` also whenever a principal is worked out,
and has principals worked out again when the answer is no longer good. An answer is good for
``CACHE_TTL_SESSION`` seconds.

Where Supabase can't say, access fails closed: 503, so that callers try again, and never 401, which
would have them sign out. For a moment after that it is not asked at all.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from django.conf import settings

from accounts.supabase import client
from accounts.supabase.answers import TokenState
from accounts.tokens.reasons import BANNED, Reason, refuse
from gateway_core.cache import LocalCache
from gateway_core.errors import (
    AccountSuspended,
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamError,
    UpstreamUnreachable,
)

if TYPE_CHECKING:
    from uuid import UUID

    from gateway_core.errors import GatewayError

_UNPROVED: Final = (
    "It can't be found out right now whether this session still lives: the sign-in service does "
    "not answer. Repeat the request later."
)
_REASONS: Final = {
    TokenState.SESSION_ENDED: Reason.SESSION_ENDED,
    TokenState.ACCOUNT_GONE: Reason.ACCOUNT_GONE,
    TokenState.TOKEN_REFUSED: Reason.REFUSED_AT_SOURCE,
}
_PAUSE_SECONDS: Final = 2.0
# Asking blocks, and must not take the threads that look into the database.
_asking = ThreadPoolExecutor(8, thread_name_prefix="session")


class SessionPolicy(StrEnum):
    """When Supabase Auth is asked; see the module."""

    OFF = "off"
    SENSITIVE = "sensitive"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session and the token of it that Supabase is asked with.

    Attributes:
        expires_at: Unix seconds at which the token itself says that it expires.
    """

    user_id: UUID
    session_id: UUID
    expires_at: float
    token: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    user_id: UUID
    state: TokenState
    good_until: float


_verdicts: LocalCache[UUID, _Verdict] = LocalCache(
    "session", ttl=lambda: settings.CACHE_TTL_SESSION, max_entries=50_000
)
# Under the empty key while Supabase is left alone.
_pause: LocalCache[str, bool] = LocalCache(
    "session pause", ttl=lambda: _PAUSE_SECONDS, max_entries=1
)


def policy() -> SessionPolicy:
    """Return when to ask."""
    return SessionPolicy(settings.SESSION_POLICY)


def require_live(session: Session) -> float:
    """Return until when, in Unix seconds, a session counts as live. Blocks.

    Raises:
        TokenRejected: the session has ended, its user is gone, or Supabase refuses the token.
        AccountSuspended: the user is banned there.
        UpstreamUnreachable: nobody can say.
        UpstreamCredentialRejected: Supabase refuses the gateway's key.
    """
    return _live_until(_verdicts.load_sync(session.session_id, partial(_ask, session)))


async def arequire_live(session: Session) -> float:
    """Return and raise as ``require_live`` does, without blocking the event loop."""
    return _live_until(await _verdicts.load(session.session_id, partial(_ask_in_thread, session)))


def forget_user(user_id: UUID) -> None:
    """Drop what this process remembers of a user's sessions."""
    _verdicts.forget_where(lambda verdict: verdict.user_id == user_id)


def refusal_of(state: TokenState) -> GatewayError:
    """Return what a caller is told whose token Supabase does not take."""
    if state is TokenState.BANNED:
        return AccountSuspended(BANNED)
    return refuse(_REASONS[state])


def _live_until(verdict: _Verdict) -> float:
    if verdict.state is not TokenState.GOOD:
        raise refusal_of(verdict.state)
    return verdict.good_until


async def _ask_in_thread(session: Session) -> _Verdict:
    return await asyncio.get_running_loop().run_in_executor(_asking, _ask, session)


def _ask(session: Session) -> _Verdict:
    if _pause.get("") is not None:
        raise UpstreamUnreachable(_UNPROVED, retry_after=_PAUSE_SECONDS)
    asked_at = time.time()
    try:
        state = _state(session)
    except UpstreamCredentialRejected:
        raise
    except UpstreamError as exc:
        _pause.put("", value=True)
        raise UpstreamUnreachable(_UNPROVED, retry_after=exc.retry_after or _PAUSE_SECONDS) from exc
    if state is TokenState.TOKEN_REFUSED:
        # That is about this token and not the session: another token of it may be good.
        raise refuse(Reason.EXPIRED) if session.expires_at <= asked_at else refusal_of(state)
    return _Verdict(
        user_id=session.user_id,
        state=state,
        good_until=asked_at + settings.CACHE_TTL_SESSION,
    )


def _state(session: Session) -> TokenState:
    state, user = client.state_of(session.token)
    if user is None:
        return state
    if user.id != session.user_id:
        raise UpstreamAnswerInvalid
    # Before 2.195 Auth says so only here.
    if user.is_banned(datetime.now(UTC)):
        return TokenState.BANNED
    return state if user.deleted_at is None else TokenState.ACCOUNT_GONE
