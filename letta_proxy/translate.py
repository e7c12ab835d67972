"""Letta's error answers, of three shapes, as errors of the gateway's own.

Meaning passes; addresses, keys and Python's own descriptions of objects don't.
"""

from __future__ import annotations

import ast
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import (
    BodyTooLarge,
    BudgetExhausted,
    FieldInvalid,
    GatewayError,
    MediaTypeUnsupported,
    OperationNotOffered,
    ProviderFailed,
    ProviderTimeout,
    RequestMalformed,
    ResourceConflict,
    ResourceNotFound,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from gateway_core.logging import get_logger
from letta_proxy.told import context_too_long, refusal_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway_core.proxy.exchange import Exchange

_log = get_logger("gateway.letta")

_INVALID: Final = "Letta does not take this request. Compare it with its documentation."
_MODEL_FAILED: Final = "The model provider failed. Repeat the request later."
UNKNOWN_HANDLE: Final = (
    "There is no model with this handle. GET /api/v1/letta/models and "
    "/api/v1/letta/models/embedding list them."
)
# Letta's status stays: the official client repeats a 409.
TOO_LITTLE_TO_COMPACT: Final = (
    "There is too little in this conversation to compact. Have more messages in it first, or "
    'compact all that there are: {"compaction_settings": {"mode": "all"}}.'
)
# In Letta's words, the last of which is about the answer that it makes where there is nothing.
_TOO_LITTLE: Final = re.compile(
    "failed to reduce the number of messages|No in-context messages found"
    "|validation error for CompactionResponse"
).search
AGENT_HAS_ARCHIVE: Final = "An agent has one archive, and this one has another. Detach that first."
_HAS_ARCHIVE: Final = "unique_agent_archive"  # a constraint of Letta's database
_CLASS_PREFIX: Final = re.compile(r"^[A-Z][A-Z_]+: ")
# Signs of what is not meant for callers: addresses, the server's settings, Python's and other
# services' own words, and whose id the request was made with.
_INTERNAL: Final = re.compile(
    r"://|LETTA_|Error code:|<class|datetime\.|actor=|\b(?:user|org)-[0-9a-f]{8}-|\{'"
)
_NO_ACCOUNT: Final = "Letta no longer knows the account that stands for you. Contact support."
_LONGEST: Final = 500
_BY_STATUS: Final[Mapping[int, Callable[[], GatewayError]]] = {
    # The gateway's credential, or the model provider's: never the caller's.
    HTTPStatus.UNAUTHORIZED: UpstreamCredentialRejected,
    HTTPStatus.FORBIDDEN: UpstreamCredentialRejected,
    HTTPStatus.PAYMENT_REQUIRED: BudgetExhausted,
    HTTPStatus.REQUEST_TIMEOUT: UpstreamTimeout,
    HTTPStatus.TOO_MANY_REQUESTS: lambda: UpstreamOverloaded(retry_after=1),
}
_BY_STATUS_WITH_DETAIL: Final[Mapping[int, Callable[[str], GatewayError]]] = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: BodyTooLarge,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: MediaTypeUnsupported,
}


def translate(exchange: Exchange, status: int, body: bytes) -> GatewayError:
    """Return the error that the caller gets for an error answer of Letta's."""
    return meaning(status, exchange.upstream_headers, body)


def meaning(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Return the error that an error answer of Letta's stands for."""
    answer = _parsed(body)
    refusal = refusal_in(str(answer["error"])) if "error" in answer else None
    if refusal is not None:
        return refusal
    detail = answer.get("detail")
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return _invalid(detail)
    if status == HTTPStatus.CONFLICT:
        return _conflict(answer, _retry_after(headers))
    if status == HTTPStatus.NOT_FOUND:
        return _not_found(detail)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _caller_error(status, answer, detail)
    return _failure(status, answer, _retry_after(headers))


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _caller_error(status: int, answer: Mapping[str, Any], detail: Any) -> GatewayError:
    if status in _BY_STATUS:
        return _BY_STATUS[status]()
    if "CONTEXT_WINDOW_EXCEEDED" in f"{detail}{answer.get('error')}":
        return context_too_long()
    if status == HTTPStatus.BAD_REQUEST and _TOO_LITTLE(str(detail)):
        return ResourceConflict(TOO_LITTLE_TO_COMPACT, status=status)
    shown = _presentable(detail) or _INVALID
    if status == HTTPStatus.GONE:
        return ResourceNotFound(shown, status=status)
    return _BY_STATUS_WITH_DETAIL.get(status, RequestMalformed)(shown)


def _failure(status: int, answer: Mapping[str, Any], retry_after: float | None) -> GatewayError:
    error = answer.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return OperationNotOffered("Letta can't do this in this installation.")
    if status == HTTPStatus.GATEWAY_TIMEOUT or kind == "llm_timeout":
        return ProviderTimeout()
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None:
        return UpstreamOverloaded(
            "Letta is overloaded. Repeat the request.", retry_after=retry_after
        )
    if kind is not None:
        return ProviderFailed(_MODEL_FAILED)
    return UpstreamFailed()


def _not_found(detail: Any) -> GatewayError:
    """One body for whatever is not there, whoever's it may be; a model is nobody's secret."""
    if isinstance(detail, str) and detail.startswith("User not found with id="):
        # Not the caller's fault: this is another Letta, or another database, than the account's.
        _log.error("letta does not know its user")
        return UpstreamCredentialRejected(_NO_ACCOUNT)
    if isinstance(detail, str) and detail.startswith("NOT_FOUND: Handle"):
        return ResourceNotFound(UNKNOWN_HANDLE, param="/model")
    return ResourceNotFound()


def _conflict(answer: Mapping[str, Any], retry_after: float | None) -> GatewayError:
    """A pending approval, a conversation that is busy, or rows that Letta could not lock."""
    detail = answer.get("detail")
    if _HAS_ARCHIVE in str(detail):
        return ResourceConflict(AGENT_HAS_ARCHIVE)
    facts: dict[str, str] = {}
    if isinstance(detail, dict):
        facts = {name: text for name, text in detail.items() if isinstance(text, str)}
        detail = facts.pop("message", "")
    elif isinstance(answer.get("run_id"), str):
        facts = {"code": "CONVERSATION_BUSY", "run_id": answer["run_id"]}
    shown = _presentable(detail) or "Something else is being done to this resource right now."
    errors = [{"pointer": "/messages", "message": shown, **facts}] if facts else []
    return ResourceConflict(shown, errors=errors, retry_after=retry_after)


def _invalid(detail: Any) -> GatewayError:
    """Letta sends a list of faults as Python would print it."""
    errors = [
        {"pointer": _pointer(fault.get("loc", ())), "message": str(fault.get("msg", "invalid"))}
        for fault in _faults(detail)
    ]
    if not errors:
        return FieldInvalid(_presentable(detail) or _INVALID)
    first = errors[0]
    shown = f"{first['pointer'] or 'The request'}: {first['message']}"
    return FieldInvalid(shown, param=first["pointer"], errors=errors)


def _faults(detail: Any) -> list[dict[str, Any]]:
    if isinstance(detail, str) and detail.startswith("["):
        try:
            detail = ast.literal_eval(detail)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return []
    if not isinstance(detail, list):
        return []
    return [fault for fault in detail if isinstance(fault, dict)]


def _pointer(place: Any) -> str:
    """The first step says body, query or path; in a body the rest is a JSON pointer."""
    steps = [str(step) for step in place] if isinstance(place, (list, tuple)) else []
    if steps[:1] == ["body"]:
        return "".join(f"/{step}" for step in steps[1:])
    return ".".join(steps[1:])


def _presentable(detail: Any) -> str:
    """Return a text that may be shown, empty when it says what is not for callers."""
    if not isinstance(detail, str) or _INTERNAL.search(detail):
        return ""
    return _CLASS_PREFIX.sub("", detail)[:_LONGEST]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
