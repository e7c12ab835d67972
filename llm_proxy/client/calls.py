"""A call, and what its answer means."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from gateway_core import context
from gateway_core.errors import (
    GatewayError,
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamUnreachable,
)
from gateway_core.logging import get_logger
from llm_proxy import refusals
from llm_proxy.client import connections
from llm_proxy.wording import readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_log = get_logger("gateway.litellm")
_ANSWER_BYTES: Final = 32 * 1024 * 1024
_REDIRECT: Final = 300
_ERROR: Final = 400
# The largest that it takes.
PAGE_SIZE: Final = 100
# The member of users' and keys' metadata that says which gateway has made them.
MADE_BY: Final = "gateway"


class AliasTaken(GatewayError):
    """There is a key of that alias already, maybe this one; never answered to a caller."""


class KeyUnknown(GatewayError):
    """LiteLLM has no such key; never answered to a caller."""


@sensitive_variables("payload", "headers")
async def send(method: str, target: str, payload: Any = None) -> tuple[int, Any]:
    """Send a request as LiteLLM's administrator; return the status and the parsed answer."""
    headers = {"authorization": f"Bearer {settings.LITELLM_MASTER_KEY}"}
    record = context.current.get()
    if record is not None:
        headers["traceparent"] = context.traceparent(record)
    return await connections.upstream().fetch(
        method,
        target,
        headers=headers,
        payload=payload,
        timeout_seconds=settings.LITELLM_QUICK_TIMEOUT,
        limit=_ANSWER_BYTES,
    )


def check(status: int, answer: Any, *, kind: type = dict) -> None:
    """Refuse an answer that is none of that kind, or says that it was not done."""
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


def lacks(status: int, answer: Any, words: str) -> bool:
    """Tell that what is to be deleted is not there from an address that is not LiteLLM's."""
    return status == HTTPStatus.NOT_FOUND and words in refusals.read(status, answer, {}).message


async def pages(path: str, query: Mapping[str, Any]) -> AsyncIterator[Any]:
    """Yield the answers for all pages."""
    number, last = 1, 1
    while number <= last:
        status, answer = await send("GET", f"{path}?{urlencode({**query, 'page': number})}")
        check(status, answer)
        yield answer
        last = member(answer, "total_pages", int)
        number += 1


def member(answer: Any, name: str, kind: type) -> Any:
    """Return a member that must be there."""
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise UpstreamAnswerInvalid
    return value


def maker_of(row: Any) -> str:
    """Return the id of the gateway that made a user or a key, empty for others."""
    metadata = row.get("metadata")
    return str(metadata.get(MADE_BY) or "") if isinstance(metadata, dict) else ""
