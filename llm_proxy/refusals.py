"""What LiteLLM's error answers mean for whoever called the gateway.

LiteLLM's status codes change with its releases and mix its own errors with those of the model
providers behind it; ``error.type`` is what tells them apart (seen on 1.109.1). Only errors that a
provider words in its own way are read by status. Messages are passed on where they are about the
caller's request, without what they say of the inside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import (
    BodyTooLarge,
    BudgetExhausted,
    CallerError,
    Code,
    FieldInvalid,
    GatewayError,
    ModelNotAllowed,
    ProviderFailed,
    ProviderTimeout,
    RateLimited,
    ResourceNotFound,
    TooManyConcurrent,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamUnreachable,
)
from llm_proxy.wording import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# LiteLLM has no such key: deleted there, or another database than the one it was made in. Or it has
# ended, which none of the gateway's does unless somebody else has set an end.
KEY_LOST: Final = frozenset({"token_not_found_in_db", "expired_key"})

# Of a response that is another user's, or that LiteLLM has never made (seen on 1.109.1).
_RESPONSE_FOREIGN: Final = re.compile(r"\bresponse id (was|is) not \w+").search
_RESERVED: Final = re.compile(r"\ABudget has been exceeded! (User=|Key=[0-9a-f]{64} )").match
_FIELD_PATH: Final = re.compile(r"[A-Za-z_][\w.\[\]-]{0,79}").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer of LiteLLM.

    Attributes:
        kind: ``error.type``; empty where the answer is not in LiteLLM's own form.
        headers: of the answer, case-insensitive.
    """

    status: int
    kind: str = ""
    message: str = ""
    param: str | None = None
    headers: Mapping[str, str]


def read(status: int, answer: Any, headers: Mapping[str, str]) -> Refusal:
    """Return a parsed or unparsed error answer as a refusal, whatever shape it has."""
    if isinstance(answer, bytes):
        try:
            answer = orjson.loads(answer)
        except orjson.JSONDecodeError:
            answer = None
    fields = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(fields, dict):
        return Refusal(status=status, message=_detail(answer), headers=headers)
    param = fields.get("param")
    return Refusal(
        status=status,
        kind=str(fields.get("type") or ""),
        message=str(fields.get("message") or ""),
        param=param if isinstance(param, str) and _FIELD_PATH(param) else None,
        headers=headers,
    )


def meaning(refusal: Refusal) -> GatewayError:
    """Return the error that the caller gets for it."""
    make = (
        _BY_KIND.get(refusal.kind)
        or next((make for says, make in _BY_MESSAGE if says(refusal.message)), None)
        or _BY_STATUS.get(refusal.status, _failed)
    )
    return make(refusal)


def _failed(refusal: Refusal) -> GatewayError:
    """In LiteLLM's own form it is most often a provider's failure that LiteLLM hands on."""
    return ProviderFailed() if refusal.kind or refusal.message else UpstreamFailed()


def _credential_rejected(_: Refusal) -> GatewayError:
    """Our key, or LiteLLM's at the provider: neither is the caller's."""
    return UpstreamCredentialRejected()


def _forbidden(refusal: Refusal) -> GatewayError:
    if _RESPONSE_FOREIGN(refusal.message):
        return ResourceNotFound("There is no such response.", param="previous_response_id")
    return UpstreamCredentialRejected()


def _unavailable(_: Refusal) -> GatewayError:
    return UpstreamUnreachable(retry_after=2)


def model_denied() -> ModelNotAllowed:
    """Return the error for a model that the caller may not use, whoever says so."""
    return ModelNotAllowed(
        "This account or key may not use that model. GET /api/v1/llm/models lists those it may.",
        param="model",
    )


def _model_unknown(_: Refusal) -> GatewayError:
    return ResourceNotFound(
        "There is no such model. GET /api/v1/llm/models lists those you may use.", param="model"
    )


def _too_long(refusal: Refusal) -> GatewayError:
    return CallerError(readable(refusal.message), code=Code.CALLER_CONTEXT_TOO_LONG)


def _invalid(refusal: Refusal) -> GatewayError:
    said = readable(refusal.message) or "The model refused the request as invalid."
    return FieldInvalid(said, status=refusal.status, param=refusal.param)


def _not_found(refusal: Refusal) -> GatewayError:
    """A provider doesn't know what the caller names; without a type, LiteLLM lacks the route."""
    if not refusal.kind:
        return UpstreamFailed()
    return ResourceNotFound(readable(refusal.message), param=refusal.param)


def _budget(refusal: Refusal) -> GatewayError:
    """Tell a budget that is spent from one that calls under way may use up.

    Unless told not to (``disable_budget_reservation``), LiteLLM takes the dearest answer that a
    model could give off the budget until the call is over, and refuses what no longer fits in. Only
    then it names the user, or the key's hash, in these words.
    """
    if _RESERVED(refusal.message):
        return TooManyConcurrent(
            "What is left of the budget may be used up by the calls under way. Wait for one to "
            "end, or set max_tokens lower.",
            retry_after=1,
        )
    return BudgetExhausted()


def _busy(refusal: Refusal) -> GatewayError:
    """Tell a limit of the caller's key, whose kind LiteLLM names, from one of the provider's."""
    headers = refusal.headers
    kind = headers.get("rate_limit_type")
    if kind is None:
        return UpstreamOverloaded(retry_after=_seconds(headers.get("llm_provider-retry-after")))
    if kind == "max_parallel_requests":
        # LiteLLM's Retry-After is the end of its minute, which has no bearing on this limit.
        return TooManyConcurrent(
            "Too many model calls at once on this account. Wait for one to end.", retry_after=1
        )
    return RateLimited(
        f"The {kind} that this account may use in a minute are used up.",
        retry_after=_seconds(headers.get("retry-after")),
    )


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None


def _detail(answer: Any) -> str:
    """Return the text of FastAPI's own errors: ``detail``, as text, error or list of faults."""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    if isinstance(detail, list):
        faults = [fault for fault in detail if isinstance(fault, dict)]
        return "; ".join(
            f"{'.'.join(str(step) for step in fault.get('loc', ()))}: {fault.get('msg', '')}"
            for fault in faults
        )
    if isinstance(detail, dict):
        detail = detail.get("error")
    return detail if isinstance(detail, str) else ""


_BY_KIND: Final[dict[str, Callable[[Refusal], GatewayError]]] = {
    "budget_exceeded": _budget,
    "throttling_error": _busy,
    "no_db_connection": _unavailable,
    "auth_provider_unavailable": _unavailable,
    "auth_error": _credential_rejected,
    **dict.fromkeys(KEY_LOST, _credential_rejected),
    **{
        f"{owner}_model_access_denied": lambda _: model_denied()
        for owner in ("key", "user", "team", "org", "project", "customer", "agent")
    },
    # Of providers, and of Anthropic's API, whose words ``messages`` uses.
    "authentication_error": _credential_rejected,
    "permission_error": _forbidden,
    "rate_limit_error": _busy,
    "overloaded_error": lambda _: UpstreamOverloaded(),
}
_BY_MESSAGE: Final[tuple[tuple[Callable[[str], Any], Callable[[Refusal], GatewayError]], ...]] = (
    (re.compile(r"\ABudget has been exceeded").search, lambda _: BudgetExhausted()),
    (
        re.compile(r"no healthy deployments for this model|Invalid model name passed").search,
        _model_unknown,
    ),
    (
        re.compile(
            r"ContextWindowExceededError|context_length_exceeded|maximum context length"
        ).search,
        _too_long,
    ),
)
_BY_STATUS: Final[dict[int, Callable[[Refusal], GatewayError]]] = {
    HTTPStatus.BAD_REQUEST: _invalid,
    HTTPStatus.UNAUTHORIZED: _credential_rejected,
    HTTPStatus.FORBIDDEN: _credential_rejected,
    HTTPStatus.NOT_FOUND: _not_found,
    HTTPStatus.REQUEST_TIMEOUT: lambda _: ProviderTimeout(),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: lambda _: BodyTooLarge("The model takes less than that."),
    HTTPStatus.UNPROCESSABLE_ENTITY: _invalid,
    HTTPStatus.TOO_MANY_REQUESTS: _busy,
}
