"""LiteLLM's management API: the only module that knows its paths. Facts are of LiteLLM 1.109.1.

Every call raises ``UpstreamCredentialRejected`` when the master key is not LiteLLM's,
``UpstreamUnreachable`` when LiteLLM or its database is away, and another ``UpstreamError`` for any
other failure. The model calls of users go through the same pool of connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from gateway_core import context
from gateway_core.errors import (
    GatewayError,
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamUnreachable,
)
from gateway_core.http import UpstreamClient
from gateway_core.logging import get_logger
from llm_proxy import refusals
from llm_proxy.wording import readable

if TYPE_CHECKING:
    from uuid import UUID

_log = get_logger("gateway.litellm")
# Beside those of the route's cap: for the calls that the gateway makes itself.
_OWN_CONNECTIONS: Final = 32
_TIMEOUT_SECONDS: Final = 15.0
_REDIRECT: Final = 300
_ERROR: Final = 400
_CONFLICT: Final = 409


class AliasTaken(GatewayError):
    """There is a key of that alias already; never answered to a caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What LiteLLM holds of a key."""

    token_hash: str
    alias: str | None
    user_id: str | None
    is_deleted: bool


@cache
def upstream() -> UpstreamClient:
    """Return the process's connections to LiteLLM."""
    return UpstreamClient(
        name="litellm",
        base_url=settings.LITELLM_BASE_URL,
        connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
        max_connections=settings.LITELLM_MAX_CONCURRENT + _OWN_CONNECTIONS,
    )


async def create_user(user_id: UUID) -> None:
    """Have LiteLLM know a user, with no key; one that it knows already is fine.

    The e-mail is not sent: LiteLLM wants it unique, and Supabase doesn't.
    """
    wish = {"user_id": str(user_id), "user_role": "internal_user", "auto_create_key": False}
    status, answer = await _send("POST", "/user/new", wish)
    if status != _CONFLICT:
        _check(status, answer)


async def generate_key(*, value: str, alias: str, user_id: UUID) -> None:
    """Make a key of that value, which may only call models.

    A default key could make and delete keys. A value that exists already keeps its first row.

    Raises:
        AliasTaken: a key has that alias, maybe this one.
    """
    wish = {"key": value, "key_alias": alias, "user_id": str(user_id), "key_type": "llm_api"}
    _check(*await _send("POST", "/key/generate", wish))


async def key_info(token_hash: str) -> KeyInfo | None:
    """Return what LiteLLM holds of a key, a deleted one too; None when it never had it."""
    status, answer = await _send("GET", f"/key/info?key={quote(token_hash, safe='')}")
    if refusals.read(status, answer, {}).kind == "not_found_error":
        return None
    _check(status, answer)
    try:
        info = answer["info"]
        return KeyInfo(
            token_hash=token_hash,
            alias=info["key_alias"],
            user_id=info["user_id"],
            is_deleted=info.get("status") == "deleted",
        )
    except (KeyError, TypeError) as exc:
        raise UpstreamAnswerInvalid from exc


async def _send(method: str, target: str, payload: Any = None) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {settings.LITELLM_MASTER_KEY}"}
    record = context.current.get()
    if record is not None:
        headers["traceparent"] = context.traceparent(record)
    return await upstream().fetch(
        method, target, headers=headers, payload=payload, timeout_seconds=_TIMEOUT_SECONDS
    )


def _check(status: int, answer: Any) -> None:
    if status < _ERROR:
        if status >= _REDIRECT or not isinstance(answer, dict):
            raise UpstreamAnswerInvalid  # whatever answers there, it is not LiteLLM
        return
    refusal = refusals.read(status, answer, {})
    if refusal.kind == "bad_request_error" and refusal.param == "key_alias":
        raise AliasTaken
    error = refusals.meaning(refusal)
    _log.warning(
        "management call refused", status=status, kind=refusal.kind, said=readable(refusal.message)
    )
    if isinstance(error, (UpstreamCredentialRejected, UpstreamUnreachable)):
        raise error
    # The request is the gateway's own: whatever is wrong with it is not the caller's.
    raise UpstreamFailed


@receiver(setting_changed)
def _begin_anew(*, setting: str, **_context: Any) -> None:
    if setting.startswith(("LITELLM_", "UPSTREAM_")):
        upstream.cache_clear()
