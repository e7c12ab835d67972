"""A remote AMS: its paths, its two dialects, and its errors as the gateway's own.

The contract has the calls of the first AMS in it. One that only knows those has no ``/version``: it
makes and upgrades agents, and everything else is done in Letta.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
from django.conf import settings

from gateway_core import context
from gateway_core.cache import LocalCache
from gateway_core.errors import (
    FIRST_SERVER_ERROR,
    BodyTooLarge,
    CountExhausted,
    FieldInvalid,
    GatewayError,
    PolicyError,
    RequestMalformed,
    ResourceConflict,
    ResourceNotFound,
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from gateway_core.rest import RestClient
from gateway_core.upstream import breaker
from letta_proxy.services import letta_user_for_sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from gateway_core.rest import RestAnswer

BREAKER: Final = breaker("ams")

_LONGEST: Final = 500
_NOWHERE: Final = frozenset({"", ".", ".."})
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a remote AMS can do, beyond making and upgrading agents."""

    capabilities: frozenset[str]

    @property
    def is_old(self) -> bool:
        """Whether it is the first one's."""
        return not self.capabilities


_dialects: LocalCache[str, Dialect] = LocalCache(
    "ams_dialect", ttl=lambda: settings.CACHE_TTL_USER, max_entries=16
)


@dataclass(frozen=True, slots=True)
class AmsClient:
    """Calls to the AMS at an address."""

    base_url: str

    def dialect(self) -> Dialect:
        """Return what it can do; asked once in a while."""
        return _dialects.load_sync(self.base_url, self._ask_dialect)

    def call(  # noqa: PLR0913 - the parts of a call
        self,
        method: str,
        path: str,
        *,
        user_id: UUID | None = None,
        payload: Any = None,
        content: tuple[bytes, str] | None = None,
        key: str = "",
    ) -> Any:
        """Return its answer, None when it is empty.

        Args:
            user_id: in whose name; it is told their Letta user as well, to make agents there.
            content: a body as it is, and its media type.
            key: of idempotency.

        Raises:
            GatewayError: what it answered, or that it did not; see ``AgentManager``.
        """
        headers = _headers(user_id, key)
        body = None
        if content is not None:
            body, headers["content-type"] = content
        answer = _rest(self.base_url).call(
            method, path, payload=payload, content=body, headers=headers
        )
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise meaning(answer)
        return answer.json() if answer.content else None

    def _ask_dialect(self) -> Dialect:
        answer = _rest(self.base_url).call("GET", "/version", headers=_headers(None, ""))
        if answer.status in _GONE:
            return Dialect(frozenset())
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise meaning(answer)
        said = answer.json()
        offered = said.get("capabilities") if isinstance(said, dict) else None
        if not isinstance(offered, list):
            raise UpstreamAnswerInvalid
        return Dialect(frozenset(str(name) for name in offered))


def path(*steps: str) -> str:
    """Return the path of these steps.

    Raises:
        ResourceNotFound: one would lead elsewhere; the way through ``.`` and ``..`` is not taken.
    """
    if not _NOWHERE.isdisjoint(steps):
        raise ResourceNotFound
    return "".join(f"/{quote(step, safe='')}" for step in steps)


def meaning(answer: RestAnswer) -> GatewayError:
    """Return the error that an error answer stands for, in either dialect."""
    said = _parsed(answer.content)
    detail = _text(said.get("detail")) or _text(said.get("error")) or _text(said.get("title"))
    errors = _errors(said)
    status = answer.status
    if status == HTTPStatus.UNAUTHORIZED:
        return UpstreamCredentialRejected()
    if status == HTTPStatus.TOO_MANY_REQUESTS and said.get("code") == "quota_exceeded":
        return CountExhausted(detail)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamOverloaded(retry_after=1)
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return UpstreamTimeout()
    if status >= FIRST_SERVER_ERROR:
        return UpstreamFailed()
    kind = _KINDS.get(status, RequestMalformed)
    return kind(detail, errors=errors, param=errors[0]["pointer"] if errors else None)


_KINDS: Final[Mapping[int, type[GatewayError]]] = {
    HTTPStatus.FORBIDDEN: PolicyError,
    HTTPStatus.NOT_FOUND: ResourceNotFound,
    HTTPStatus.CONFLICT: ResourceConflict,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: BodyTooLarge,
    HTTPStatus.UNPROCESSABLE_ENTITY: FieldInvalid,
}


def _headers(user_id: UUID | None, key: str) -> dict[str, str]:
    headers = {"authorization": f"Bearer {settings.AMS_API_KEY}", "connection": "close"}
    if user_id is not None:
        headers["x-user-id"] = str(user_id)
        headers["x-letta-user-id"] = letta_user_for_sync(user_id)
    if key:
        headers["idempotency-key"] = key
    record = context.current.get()
    if record is not None:
        headers |= {"x-request-id": record.request_id, "traceparent": context.traceparent(record)}
    return headers


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _errors(said: Mapping[str, Any]) -> list[dict[str, str]]:
    given = said.get("errors")
    return [
        {"pointer": _text(item.get("pointer")), "message": _text(item.get("message"))}
        for item in (given if isinstance(given, list) else ())
        if isinstance(item, dict)
    ]


def _text(value: Any) -> str:
    return value[:_LONGEST] if isinstance(value, str) and "://" not in value else ""


@cache
def _rest(base_url: str) -> RestClient:
    return RestClient(
        base_url,
        connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
        read_timeout=settings.AMS_TIMEOUT,
        breaker=BREAKER,
    )
