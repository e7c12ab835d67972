"""LiteLLM's management API: the only module that knows its paths. Facts are of LiteLLM 1.109.1.

Every call raises ``UpstreamCredentialRejected`` when the master key is not LiteLLM's,
``UpstreamUnreachable`` when LiteLLM or its database is away, and another ``UpstreamError`` for any
other failure. The model calls of users go through the same pool of connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.views.decorators.debug import sensitive_variables

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
from gateway_core.upstream import Timeouts, Upstream, with_limits
from llm_proxy import refusals
from llm_proxy.wording import readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from uuid import UUID

_log = get_logger("gateway.litellm")
# Beside those of the route's cap: for the calls that the gateway makes itself.
_OWN_CONNECTIONS: Final = 32
_ANSWER_BYTES: Final = 32 * 1024 * 1024
_REDIRECT: Final = 300
_ERROR: Final = 400
# The largest that it takes.
_PAGE_SIZE: Final = 100
# The member of users' and keys' metadata that says which gateway has made them.
_MADE_BY: Final = "gateway"


class AliasTaken(GatewayError):
    """There is a key of that alias already, maybe this one; never answered to a caller."""


class KeyUnknown(GatewayError):
    """LiteLLM has no such key; never answered to a caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What LiteLLM holds of a key.

    Attributes:
        made_by: the gateway that made it, empty for others.
        row: all fields, by LiteLLM's names.
    """

    token_hash: str
    alias: str
    user_id: str
    made_by: str
    is_deleted: bool
    spend: float
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """What LiteLLM holds of a user, as ``KeyInfo``."""

    user_id: str
    made_by: str
    row: Mapping[str, Any]


@cache
def upstream() -> Upstream:
    """Return LiteLLM as this process has it."""
    client = UpstreamClient(
        name="litellm",
        base_url=settings.LITELLM_BASE_URL,
        connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
        max_connections=settings.LITELLM_MAX_CONCURRENT + _OWN_CONNECTIONS,
    )
    return with_limits(client, slots=lambda: settings.LITELLM_MAX_CONCURRENT, timeouts=_timeouts)


def _timeouts() -> Timeouts:
    return Timeouts(
        first_byte=settings.UPSTREAM_FIRST_BYTE_TIMEOUT,
        idle=settings.UPSTREAM_IDLE_TIMEOUT,
        total=settings.LITELLM_TIMEOUT,
    )


async def close() -> None:
    """Close those of the running event loop."""
    await upstream().close()


async def put_user(user_id: UUID, *, terms: Mapping[str, Any], made_by: UUID) -> None:
    """Have LiteLLM know a user, with no key and on these terms.

    The e-mail is not sent: LiteLLM wants it unique, and Supabase doesn't. Metadata of a user that
    LiteLLM knows already stays as it is: sent again, it would be replaced as a whole.
    """
    wish = {
        "user_id": str(user_id),
        "user_role": "internal_user",
        "auto_create_key": False,
        "metadata": {_MADE_BY: str(made_by)},
        **terms,
    }
    status, answer = await _send("POST", "/user/new", wish)
    if status == HTTPStatus.CONFLICT:
        await update_user(user_id, terms=terms)
    else:
        _check(status, answer)


async def update_user(user_id: UUID, *, terms: Mapping[str, Any]) -> None:
    """Change a user's terms; null ends a limit. A user that LiteLLM lacks is made, with no role."""
    _check(*await _send("POST", "/user/update", {"user_id": str(user_id), **terms}))


async def delete_users(user_ids: Collection[str]) -> None:
    """Delete users with their keys, one by one: it takes no list with an unknown one in it."""
    for user_id in user_ids:
        status, answer = await _send("POST", "/user/delete", {"user_ids": [user_id]})
        if not _lacks(status, answer, "User not found"):
            _check(status, answer, kind=int)


@sensitive_variables("value", "wish")
async def generate_key(
    *, value: str, alias: str, terms: Mapping[str, Any], made_by: UUID, spend: float = 0.0
) -> None:
    """Make a key of that value, which may only call models.

    A default key could make and delete keys. Of calls at the same time for one value the first
    makes the row, and all succeed; a deleted value can be made again.

    Args:
        spend: US dollars that count as spent on its own budget.

    Raises:
        AliasTaken: a key has that alias, maybe this one.
    """
    wish = {
        "key": value,
        "key_alias": alias,
        "key_type": "llm_api",
        "metadata": {_MADE_BY: str(made_by)},
        "spend": spend,
        **terms,
    }
    _check(*await _send("POST", "/key/generate", wish))


async def update_key(token_hash: str, *, terms: Mapping[str, Any]) -> None:
    """Change a key's terms, owner and whether it is blocked among them; null ends a limit.

    Raises:
        KeyUnknown: there is none, or it was deleted.
    """
    _check(*await _send("POST", "/key/update", {"key": token_hash, **terms}))


async def delete_keys(token_hashes: Collection[str]) -> None:
    """Delete keys; those that are not there are passed over."""
    status, answer = await _send("POST", "/key/delete", {"keys": list(token_hashes)})
    if not _lacks(status, answer, "No keys found"):
        _check(status, answer)


async def key_info(token_hash: str) -> KeyInfo | None:
    """Return what LiteLLM holds of a key, a deleted one too; None when it never had it."""
    status, answer = await _send("GET", f"/key/info?key={quote(token_hash, safe='')}")
    try:
        _check(status, answer)
    except KeyUnknown:
        return None
    return _key({**_member(answer, "info", dict), "token": token_hash})


async def all_keys() -> AsyncIterator[tuple[list[KeyInfo], int]]:
    """Yield pages of all keys that are not deleted, oldest first, each with how many there are.

    A key that is deleted meanwhile may make this pass over another one.
    """
    order = {"size": _PAGE_SIZE, "sort_by": "created_at", "sort_order": "asc"}
    query = {**order, "return_full_object": "true"}
    async for page in _pages("/key/list", query):
        keys = [_key(row) for row in _member(page, "keys", list)]
        yield keys, _member(page, "total_count", int)


async def all_users() -> AsyncIterator[tuple[list[UserInfo], int]]:
    """Yield pages of all users, oldest first, each with how many there are."""
    query = {"page_size": _PAGE_SIZE, "sort_by": "created_at", "sort_order": "asc"}
    async for page in _pages("/user/list", query):
        users = [_user(row) for row in _member(page, "users", list)]
        yield users, _member(page, "total", int)


async def _pages(path: str, query: Mapping[str, Any]) -> AsyncIterator[Any]:
    number, last = 1, 1
    while number <= last:
        status, answer = await _send("GET", f"{path}?{urlencode({**query, 'page': number})}")
        _check(status, answer)
        yield answer
        last = _member(answer, "total_pages", int)
        number += 1


def _key(row: Any) -> KeyInfo:
    return KeyInfo(
        token_hash=_member(row, "token", str),
        alias=row.get("key_alias") or "",
        user_id=row.get("user_id") or "",
        made_by=_made_by(row),
        is_deleted=row.get("status") == "deleted",
        spend=row.get("spend") or 0.0,
        row=row,
    )


def _user(row: Any) -> UserInfo:
    return UserInfo(user_id=_member(row, "user_id", str), made_by=_made_by(row), row=row)


def _made_by(row: Any) -> str:
    metadata = row.get("metadata")
    return str(metadata.get(_MADE_BY) or "") if isinstance(metadata, dict) else ""


def _member(answer: Any, name: str, kind: type) -> Any:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise UpstreamAnswerInvalid
    return value


async def list_models() -> Any:
    """Return LiteLLM's own list of all models, what stands for several included."""
    status, answer = await _send("GET", "/v1/models?return_wildcard_routes=true")
    _check(status, answer)
    return answer


@sensitive_variables("payload", "headers")
async def _send(method: str, target: str, payload: Any = None) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {settings.LITELLM_MASTER_KEY}"}
    record = context.current.get()
    if record is not None:
        headers["traceparent"] = context.traceparent(record)
    return await upstream().fetch(
        method,
        target,
        headers=headers,
        payload=payload,
        timeout_seconds=settings.LITELLM_QUICK_TIMEOUT,
        limit=_ANSWER_BYTES,
    )


def _lacks(status: int, answer: Any, words: str) -> bool:
    """Tell that what is to be deleted is not there from an address that is not LiteLLM's."""
    return status == HTTPStatus.NOT_FOUND and words in refusals.read(status, answer, {}).message


def _check(status: int, answer: Any, *, kind: type = dict) -> None:
    if status < _ERROR:
        if status >= _REDIRECT or not isinstance(answer, kind):
            raise UpstreamAnswerInvalid  # whatever answers there, it is not LiteLLM
        return
    refusal = refusals.read(status, answer, {})
    if refusal.kind == "not_found_error" and refusal.param == "key":
        raise KeyUnknown
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
