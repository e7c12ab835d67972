"""Supabase Auth's own paths for what the gateway wants of it. Nothing else knows them.

Facts are of Auth 2.196; older ones differ where it says so. Every call raises
``UpstreamCredentialRejected`` when Supabase refuses the gateway's key, ``UpstreamUnreachable`` when
it is away or not configured, ``UpstreamOverloaded`` when it asks to slow down, and another
``UpstreamError`` for any other failure. Keys and tokens go out as headers of single calls and are
kept nowhere else.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from accounts.supabase.answers import TokenState, good, is_not_there, read_state
from accounts.supabase.users import SupabaseUser
from gateway_core.errors import UpstreamAnswerInvalid, UpstreamUnreachable
from gateway_core.rest import RestClient
from gateway_core.upstream import breaker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from gateway_core.rest import RestAnswer

PAGE_SIZE: Final = 200
# Supabase has no ban without an end; this is the one that its own documentation uses for it.
FOR_GOOD: Final = timedelta(hours=876_000)

BREAKER: Final = breaker("supabase")

_AUTH: Final = "/auth/v1"
_USERS: Final = f"{_AUTH}/admin/users"
# A page of a large table is counted and sorted there.
_PAGE_SECONDS: Final = 60.0


class SignOutScope(StrEnum):
    """Which sessions of the token's user end."""

    GLOBAL = "global"
    LOCAL = "local"
    OTHERS = "others"


def can_administer() -> bool:
    """Say whether the gateway may look for users: that takes a secret key."""
    return bool(settings.SUPABASE_URL and settings.SUPABASE_SERVICE_KEY)


def find_user(user_id: UUID) -> SupabaseUser | None:
    """Return a user, None when it is certain that there is none."""
    record = user_record(user_id)
    return None if record is None else SupabaseUser.read(record)


def user_record(user_id: UUID) -> dict[str, Any] | None:
    """Return all that Supabase tells of a user, None when it is certain that there is none."""
    answer = _administer("GET", f"{_USERS}/{user_id}")
    if is_not_there(answer):
        return None
    record = good(answer).json()
    if not isinstance(record, dict):
        raise UpstreamAnswerInvalid
    return record


def find_users(email: str) -> list[SupabaseUser]:
    """Return the users of an e-mail address: who came by single sign-on can share one.

    Supabase looks for it as a part of addresses and full names, in which ``%`` and ``_`` stand for
    anything. It keeps addresses in lower case.
    """
    wanted = email.lower()
    pages = list_users(containing=wanted)
    found = {user.id: user for page in pages for user in page if user.email.lower() == wanted}
    return list(found.values())


def list_users(*, page_size: int = PAGE_SIZE, containing: str = "") -> Iterator[list[SupabaseUser]]:
    """Yield all users in pages, the newest first, each page when the one before it is done with.

    Pages are counted, not marked: of users made or deleted meanwhile, some come twice and some not
    at all. Whoever is missing has to be looked for by id before they count as gone.

    Args:
        containing: only those whose address or full name has it somewhere.

    Raises:
        UpstreamAnswerInvalid: one page follows another without end.
    """
    before: list[SupabaseUser] = []
    number = 1
    while page := _page(number, page_size, containing):
        if page == before:
            raise UpstreamAnswerInvalid
        yield page
        before = page
        number += 1


def count_users() -> int | None:
    """Return how many users there are, None when Supabase does not tell."""
    answer = good(_administer("GET", _USERS, params={"page": 1, "per_page": 1}))
    count = answer.headers.get("x-total-count", "")
    return int(count) if count.isdigit() else None


def ban_user(user_id: UUID, duration: timedelta = FOR_GOOD) -> bool:
    """Let a user sign in no more for so long; returns whether there is such a user.

    They can't refresh a session either. Tokens they hold go on until they expire.
    """
    return _change(user_id, {"ban_duration": f"{max(1, round(duration.total_seconds()))}s"})


def unban_user(user_id: UUID) -> bool:
    """Let a user sign in again; returns whether there is such a user."""
    return _change(user_id, {"ban_duration": "none"})


def delete_user(user_id: UUID, *, softly: bool = False) -> bool:
    """Delete a user and their sessions; returns whether there was such a user.

    Args:
        softly: an unrecognisable row stays, so that what refers to it in the project's own
            database stays too.
    """
    payload = {"should_soft_delete": softly}
    answer = _administer("DELETE", f"{_USERS}/{user_id}", payload=payload)
    if is_not_there(answer):
        return False
    good(answer).json()
    return True


def sign_out(token: bytes, scope: SignOutScope = SignOutScope.GLOBAL) -> TokenState:
    """End sessions of the user of an access token, which goes on until it expires.

    Only the user can do this: the service key ends nobody's sessions but by a ban or deletion.

    Returns:
        What the token was good for. When it is not GOOD, nothing has ended now.
    """
    answer = _in_the_name_of(token, "POST", f"{_AUTH}/logout?scope={scope}")
    state = read_state(answer)
    if state is TokenState.GOOD and answer.status != HTTPStatus.NO_CONTENT:
        raise UpstreamAnswerInvalid
    return state


def state_of(token: bytes) -> tuple[TokenState, SupabaseUser | None]:
    """Return whether Supabase still takes an access token, and its user when it does.

    It looks for user and session in its database; for a ban only since 2.195.
    """
    answer = _in_the_name_of(token, "GET", f"{_AUTH}/user")
    state = read_state(answer)
    return state, SupabaseUser.read(answer.json()) if state is TokenState.GOOD else None


def version() -> str:
    """Ask Supabase Auth whether it is up, and return its version, which it may hide."""
    key = settings.SUPABASE_KEY or settings.SUPABASE_SERVICE_KEY
    answer = good(_call("GET", f"{_AUTH}/health", key=key)).json()
    if not isinstance(answer, dict) or answer.get("name") != "GoTrue":
        raise UpstreamAnswerInvalid
    return str(answer.get("version", ""))


def _page(number: int, page_size: int, containing: str) -> list[SupabaseUser]:
    # With page and per_page Auth counts pages also where cursors are switched on (2.194).
    params: dict[str, Any] = {"page": number, "per_page": page_size}
    if containing:
        params["filter"] = containing
    answer = good(_administer("GET", _USERS, params=params, read_seconds=_PAGE_SECONDS)).json()
    users = answer.get("users") if isinstance(answer, dict) else None
    if not isinstance(users, list):
        raise UpstreamAnswerInvalid
    return [SupabaseUser.read(user) for user in users]


def _change(user_id: UUID, payload: dict[str, Any]) -> bool:
    answer = _administer("PUT", f"{_USERS}/{user_id}", payload=payload)
    if is_not_there(answer):
        return False
    SupabaseUser.read(good(answer).json())
    return True


def _administer(method: str, target: str, **parts: Any) -> RestAnswer:
    key = settings.SUPABASE_SERVICE_KEY
    if not key:
        raise UpstreamUnreachable("No secret key of Supabase is configured.")
    # Both headers: Supabase takes a new key as bearer only when it equals ``apikey``.
    return _call(method, target, key=key, bearer=key, **parts)


def _in_the_name_of(token: bytes, method: str, target: str) -> RestAnswer:
    key = settings.SUPABASE_KEY or settings.SUPABASE_SERVICE_KEY
    return _call(method, target, key=key, bearer=token.decode())


def _call(  # noqa: PLR0913 - the parts of an HTTP request
    method: str,
    target: str,
    *,
    key: str,
    bearer: str = "",
    payload: Any = None,
    params: dict[str, Any] | None = None,
    read_seconds: float | None = None,
) -> RestAnswer:
    if not settings.SUPABASE_URL:
        raise UpstreamUnreachable("No Supabase project is configured.")
    headers = {"accept": "application/json", "user-agent": "ai-agent-gateway"}
    if key:
        headers["apikey"] = key
    if bearer:
        headers["authorization"] = f"Bearer {bearer}"
    connections = _connections(read_seconds or settings.SUPABASE_TIMEOUT)
    return connections.call(method, target, payload=payload, params=params, headers=headers)


@cache
def _connections(read_seconds: float) -> RestClient:
    return RestClient(
        settings.SUPABASE_URL,
        connect_timeout=min(read_seconds, settings.UPSTREAM_CONNECT_TIMEOUT),
        read_timeout=read_seconds,
        breaker=BREAKER,
    )


@receiver(setting_changed)
def _begin_anew(*, setting: str, **_context: Any) -> None:
    if setting.startswith(("SUPABASE_", "UPSTREAM_")):
        _connections.cache_clear()
