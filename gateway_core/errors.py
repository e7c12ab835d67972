"""Every error that the gateway answers with, and the one envelope it is answered in.

    GatewayError
    ├── CallerError        4xx  the request is at fault
    │   ├── RequestMalformed, FieldInvalid, BodyTooLarge, MediaTypeUnsupported,
    │   │   ResourceNotFound, MethodNotAllowed, ResourceConflict, EtagMismatch,
    │   │   IdempotencyKeyReused, IdempotencyInProgress, IdempotencyOutcomeUnknown,
    │   │   IdempotencyAnswerNotKept
    │   ├── TokenRejected  401
    │   └── CallerGone     499  (only ever logged)
    ├── PolicyError        403  the request is understood and not allowed
    │   └── OperationNotOffered, RuleDenied, FieldForbidden, ModelNotAllowed, AccountSuspended,
    │       AgentSuspended, ScopeMissing
    ├── QuotaError         429  allowed, but not now or not that much
    │   └── RateLimited, TooManyConcurrent, BudgetExhausted, CountExhausted
    ├── UpstreamError      5xx  Letta, LiteLLM, AMS or Supabase is at fault
    │   └── UpstreamUnreachable, UpstreamTimeout, ProviderTimeout, UpstreamFailed,
    │       ProviderFailed, BreakerOpen, UpstreamAnswerInvalid,
    │       UpstreamCredentialRejected, UpstreamOverloaded, UpstreamInterrupted,
    │       ProviderInterrupted
    └── InternalError      5xx  the gateway itself is at fault
        └── DatabaseUnavailable, KeysUnavailable, GatewayOverloaded, GatewayStopping

The prefix of ``code`` says whose fault it is. The envelope is RFC 9457 problem+json with an
OpenAI-style ``error`` member beside it, which is what official SDKs show to their callers.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Code(StrEnum):
    """The closed vocabulary of ``code``. Clients may branch on it; it only ever grows."""

    CALLER_REQUEST_MALFORMED = "caller_request_malformed"
    CALLER_FIELD_INVALID = "caller_field_invalid"
    CALLER_BODY_TOO_LARGE = "caller_body_too_large"
    CALLER_MEDIA_TYPE_UNSUPPORTED = "caller_media_type_unsupported"
    CALLER_NOT_FOUND = "caller_not_found"
    CALLER_METHOD_NOT_ALLOWED = "caller_method_not_allowed"
    CALLER_CONFLICT = "caller_conflict"
    CALLER_ETAG_MISMATCH = "caller_etag_mismatch"
    CALLER_CONTEXT_TOO_LONG = "caller_context_too_long"
    CALLER_IDEMPOTENCY_KEY_REUSED = "caller_idempotency_key_reused"
    CALLER_IDEMPOTENCY_IN_PROGRESS = "caller_idempotency_in_progress"
    CALLER_IDEMPOTENCY_OUTCOME_UNKNOWN = "caller_idempotency_outcome_unknown"
    CALLER_IDEMPOTENCY_ANSWER_NOT_KEPT = "caller_idempotency_answer_not_kept"
    CALLER_GONE = "caller_gone"
    CALLER_TOKEN_MISSING = "caller_token_missing"  # noqa: S105 - an error code
    CALLER_TOKEN_INVALID = "caller_token_invalid"  # noqa: S105 - an error code
    CALLER_TOKEN_EXPIRED = "caller_token_expired"  # noqa: S105 - an error code
    CALLER_TOKEN_REVOKED = "caller_token_revoked"  # noqa: S105 - an error code
    POLICY_OPERATION_NOT_OFFERED = "policy_operation_not_offered"
    POLICY_RULE_DENIED = "policy_rule_denied"
    POLICY_FIELD_FORBIDDEN = "policy_field_forbidden"
    POLICY_MODEL_NOT_ALLOWED = "policy_model_not_allowed"
    POLICY_ACCOUNT_SUSPENDED = "policy_account_suspended"
    POLICY_SCOPE_MISSING = "policy_scope_missing"
    POLICY_AGENT_SUSPENDED = "policy_agent_suspended"
    POLICY_FORBIDDEN = "policy_forbidden"
    QUOTA_RATE_LIMITED = "quota_rate_limited"
    QUOTA_TOO_MANY_CONCURRENT = "quota_too_many_concurrent"
    QUOTA_BUDGET_EXHAUSTED = "quota_budget_exhausted"
    QUOTA_COUNT_EXHAUSTED = "quota_count_exhausted"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_ANSWER_INVALID = "upstream_answer_invalid"
    UPSTREAM_CREDENTIAL_REJECTED = "upstream_credential_rejected"
    UPSTREAM_OVERLOADED = "upstream_overloaded"
    UPSTREAM_INTERRUPTED = "upstream_interrupted"
    UPSTREAM_CIRCUIT_OPEN = "upstream_circuit_open"
    GATEWAY_INTERNAL_ERROR = "gateway_internal_error"
    GATEWAY_DATABASE_UNAVAILABLE = "gateway_database_unavailable"
    GATEWAY_KEYS_UNAVAILABLE = "gateway_keys_unavailable"
    GATEWAY_OVERLOADED = "gateway_overloaded"
    GATEWAY_STOPPING = "gateway_stopping"


MEDIA_TYPE: Final = "application/problem+json"

# What the OpenAI API calls these classes of errors, for SDK users who read ``error.type``.
_OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_HTTP_CLIENT_CLOSED_REQUEST: Final = 499
FIRST_SERVER_ERROR: Final = 500


class GatewayError(Exception):
    """An error with everything its answer needs.

    Args:
        detail: what happened and what to do about it, for the caller to read. Never names an
            internal URL, key or host.
        code: overrides the class's code where one class serves several.
        status: overrides the class's HTTP status.
        param: the offending request field, as a dotted or JSON-pointer path.
        retry_after: seconds after which a repeat may succeed; becomes ``Retry-After``.
        headers: further response headers.
        errors: one ``{"pointer": …, "message": …}`` for each fault, when there are several.
    """

    code: Code = Code.GATEWAY_INTERNAL_ERROR
    status: int = 500
    retryable: ClassVar[bool] = False
    detail: str = "The gateway failed to handle this request. Quote the request id to support."

    def __init__(  # noqa: PLR0913 - each is one member of the envelope
        self,
        detail: str = "",
        *,
        code: Code | None = None,
        status: int | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        self.status = status or self.status
        self.param = param
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        self.errors = list(errors)
        super().__init__(f"{self.code}: {self.detail}")


class CallerError(GatewayError):
    """The caller can mend the request."""

    code = Code.CALLER_REQUEST_MALFORMED
    status = 400


class RequestMalformed(CallerError):
    """Not HTTP, JSON or multipart that can be read."""


class FieldInvalid(CallerError):
    """A field is missing, of the wrong type or out of range."""

    code = Code.CALLER_FIELD_INVALID
    status = 422


class BodyTooLarge(CallerError):
    """The request body is over the limit of this route."""

    code = Code.CALLER_BODY_TOO_LARGE
    status = 413


class MediaTypeUnsupported(CallerError):
    """The Content-Type is not one this route reads."""

    code = Code.CALLER_MEDIA_TYPE_UNSUPPORTED
    status = 415


class ResourceNotFound(CallerError):
    """No such route or resource, or it belongs to somebody else: the two are not told apart."""

    code = Code.CALLER_NOT_FOUND
    status = 404
    detail = "There is no such resource. Check the path and the id."


class MethodNotAllowed(CallerError):
    """The path exists, with other methods."""

    code = Code.CALLER_METHOD_NOT_ALLOWED
    status = 405


class ResourceConflict(CallerError):
    """The resource is in a state in which this can't be done."""

    code = Code.CALLER_CONFLICT
    status = 409


class EtagMismatch(CallerError):
    """The resource has changed since the caller read it (If-Match, RFC 9110 §13.1.1)."""

    code = Code.CALLER_ETAG_MISMATCH
    status = 412
    detail = "This has changed since you read it. Read it again, and repeat with its new ETag."


class IdempotencyKeyReused(CallerError):
    """The Idempotency-Key belongs to another request."""

    code = Code.CALLER_IDEMPOTENCY_KEY_REUSED
    status = 422
    detail = (
        "This Idempotency-Key was sent before with another body or query. "
        "Choose a new key for a new request."
    )


class IdempotencyInProgress(CallerError):
    """The first request with the Idempotency-Key has not ended yet."""

    code = Code.CALLER_IDEMPOTENCY_IN_PROGRESS
    status = 409
    retryable = True
    detail = "The first request with this Idempotency-Key is still under way. Repeat this later."


class IdempotencyOutcomeUnknown(CallerError):
    """Nobody knows what came of the first request with the Idempotency-Key; it is not repeated."""

    code = Code.CALLER_IDEMPOTENCY_OUTCOME_UNKNOWN
    status = 409


class IdempotencyAnswerNotKept(CallerError):
    """What the Idempotency-Key stands for was done, and its answer can't be given again."""

    code = Code.CALLER_IDEMPOTENCY_ANSWER_NOT_KEPT
    status = 409


class TokenRejected(CallerError):
    """No token, or one that proves nothing here. Never raised for an outage of the key server."""

    code = Code.CALLER_TOKEN_INVALID
    status = 401


class CallerGone(CallerError):
    """The client closed the connection. Nobody reads the answer; the log does."""

    code = Code.CALLER_GONE
    status = _HTTP_CLIENT_CLOSED_REQUEST
    detail = "The client closed the connection before the answer was complete."


class PolicyError(GatewayError):
    """Understood, and not allowed."""

    code = Code.POLICY_FORBIDDEN
    status = 403


class OperationNotOffered(PolicyError):
    """Not in the catalogue of what the gateway forwards."""

    code = Code.POLICY_OPERATION_NOT_OFFERED


class RuleDenied(PolicyError):
    """Offered, and taken away by a rule of staff's."""

    code = Code.POLICY_RULE_DENIED


class FieldForbidden(PolicyError):
    """A request field that callers may not set."""

    code = Code.POLICY_FIELD_FORBIDDEN


class ModelNotAllowed(PolicyError):
    """The model is not on this user's list."""

    code = Code.POLICY_MODEL_NOT_ALLOWED


class AccountSuspended(PolicyError):
    """Staff have switched this user off."""

    code = Code.POLICY_ACCOUNT_SUSPENDED
    detail = "This account is suspended. Contact support."


class AgentSuspended(PolicyError):
    """The agent is switched off; its owner is not."""

    code = Code.POLICY_AGENT_SUSPENDED
    status = 423
    detail = (
        "This agent is suspended. Resume it with POST /api/v1/agents/{id}/resume, or contact "
        "support if they have suspended it."
    )


class ScopeMissing(PolicyError):
    """The key was made for other things."""

    code = Code.POLICY_SCOPE_MISSING


class QuotaError(GatewayError):
    """Allowed, but not now or not that much."""

    code = Code.QUOTA_RATE_LIMITED
    status = 429
    retryable = True


class RateLimited(QuotaError):
    """Too many requests in the window."""


class TooManyConcurrent(QuotaError):
    """Too many requests at the same time."""

    code = Code.QUOTA_TOO_MANY_CONCURRENT


class BudgetExhausted(QuotaError):
    """The user's budget for the period is spent; a repeat can't succeed before the reset."""

    code = Code.QUOTA_BUDGET_EXHAUSTED
    retryable = False
    detail = (
        "The budget of this account or key is spent. It is renewed with the next budget period."
    )


class CountExhausted(QuotaError):
    """The user has as many of a thing as their plan allows; a repeat can't succeed."""

    code = Code.QUOTA_COUNT_EXHAUSTED
    retryable = False


class UpstreamError(GatewayError):
    """A service behind the gateway is at fault.

    Attributes:
        is_outage: speaks against the service as a whole, which is what breakers count.
    """

    code = Code.UPSTREAM_FAILED
    status = 502
    retryable = True
    is_outage: ClassVar[bool] = True
    detail = "The service behind the gateway failed. Repeat the request later."


class BreakerOpen(UpstreamError):
    """The service has failed so often that it is left alone for a while; nothing has been sent."""

    code = Code.UPSTREAM_CIRCUIT_OPEN
    status = 503
    is_outage = False
    detail = "The service behind the gateway is failing and left alone for a while."


class UpstreamUnreachable(UpstreamError):
    """No connection: nothing has been sent."""

    code = Code.UPSTREAM_UNREACHABLE
    status = 503
    detail = "The service behind the gateway can't be reached right now. Repeat the request later."


class UpstreamTimeout(UpstreamError):
    """No answer in time: the effect is unknown."""

    code = Code.UPSTREAM_TIMEOUT
    status = 504
    detail = "The service behind the gateway did not answer in time."


class ProviderTimeout(UpstreamTimeout):
    """A model provider behind it did not answer in time; it works itself."""

    is_outage = False


class UpstreamFailed(UpstreamError):
    """It answered with a failure of its own."""


class ProviderFailed(UpstreamFailed):
    """A model provider behind it failed; it works itself."""

    is_outage = False


class UpstreamAnswerInvalid(UpstreamError):
    """It answered with something that is not its protocol."""

    code = Code.UPSTREAM_ANSWER_INVALID
    detail = "The service behind the gateway gave an answer that can't be understood."


class UpstreamCredentialRejected(UpstreamError):
    """It refused the gateway's own credential. That is not the caller's 401."""

    is_outage = False
    code = Code.UPSTREAM_CREDENTIAL_REJECTED
    retryable = False
    detail = "The service behind the gateway refused the gateway's credential. Contact support."


class UpstreamOverloaded(UpstreamError):
    """It, or the model provider behind it, asks to slow down."""

    is_outage = False
    code = Code.UPSTREAM_OVERLOADED
    status = 503
    detail = "The model provider is overloaded. Repeat the request later."


class UpstreamInterrupted(UpstreamError):
    """The answer broke off after it had begun."""

    code = Code.UPSTREAM_INTERRUPTED
    detail = "The service behind the gateway broke off its answer."


class ProviderInterrupted(UpstreamInterrupted):
    """A model provider behind it broke off, as it says itself; it works."""

    is_outage = False


class InternalError(GatewayError):
    """The gateway itself is at fault."""


class DatabaseUnavailable(InternalError):
    """PostgreSQL can't be reached: 503, and never mistaken for a bad token."""

    code = Code.GATEWAY_DATABASE_UNAVAILABLE
    status = 503
    retryable = True
    detail = "The gateway can't reach its database right now. Repeat the request later."


class KeysUnavailable(InternalError):
    """The keys that tokens are signed with can't be had: 503, and never 401."""

    code = Code.GATEWAY_KEYS_UNAVAILABLE
    status = 503
    retryable = True
    detail = "Tokens can't be verified right now: the sign-in service does not answer."


class GatewayOverloaded(InternalError):
    """Shed to stay alive."""

    code = Code.GATEWAY_OVERLOADED
    status = 503
    retryable = True
    detail = "The gateway is at its limit right now. Repeat the request later."


class GatewayStopping(InternalError):
    """This process ends; another one of the gateway serves."""

    code = Code.GATEWAY_STOPPING
    status = 503
    retryable = True
    detail = "This process of the gateway is being stopped. Repeat the request: another serves it."


def as_problem(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return the envelope as a JSON-ready dictionary."""
    problem: dict[str, Any] = {
        "type": f"urn:gateway:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "retryable": error.retryable,
        "error": {
            "message": error.detail,
            "type": _openai_type(error),
            "code": error.code,
            "param": error.param,
        },
    }
    if error.errors:
        problem["errors"] = error.errors
    return problem


def response_headers(error: GatewayError) -> dict[str, str]:
    """Return the headers that go with the envelope, without the content type.

    ``x-should-retry`` is what the official SDKs (generated by Stainless) obey before their own
    rules, which would repeat every 409, 429 and 5xx.
    """
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, ceil(error.retry_after)))
    if not error.retryable:
        headers["x-should-retry"] = "false"
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = _challenge(error)
    return headers


def encode(error: GatewayError, request_id: str) -> bytes:
    """Return the envelope as bytes."""
    return orjson.dumps(as_problem(error, request_id))


def _openai_type(error: GatewayError) -> str:
    if error.code is Code.QUOTA_BUDGET_EXHAUSTED:
        return "insufficient_quota"
    if error.status in _OPENAI_TYPES:
        return _OPENAI_TYPES[error.status]
    return "api_error" if error.status >= FIRST_SERVER_ERROR else "invalid_request_error"


def _challenge(error: GatewayError) -> str:
    """Return the Bearer challenge of RFC 6750 §3: no error code when there was no token."""
    if error.code is Code.CALLER_TOKEN_MISSING:
        return 'Bearer realm="gateway"'
    description = error.detail.replace("\\", "").replace('"', "'")
    return f'Bearer realm="gateway", error="invalid_token", error_description="{description}"'
