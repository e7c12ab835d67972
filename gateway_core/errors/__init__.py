"""Every error that the gateway answers with.

    GatewayError
    ├── CallerError        4xx  the request is at fault
    │   ├── RequestMalformed, RequestTooSlow, TlsMissing, FieldInvalid, BodyTooLarge,
    │   │   MediaTypeUnsupported, ResourceNotFound, MethodNotAllowed, ResourceConflict,
    │   │   EtagMismatch, IdempotencyKeyReused, IdempotencyInProgress,
    │   │   IdempotencyOutcomeUnknown, IdempotencyAnswerNotKept
    │   ├── TokenRejected  401
    │   └── CallerGone     499  (only ever logged)
    ├── PolicyError        403  the request is understood and not allowed
    │   └── OperationNotOffered, RuleDenied, FieldForbidden, ModelNotAllowed, AccountSuspended,
    │       AgentSuspended, ScopeMissing
    ├── QuotaError         429  allowed, but not now or not that much
    │   └── RateLimited, TooManyConcurrent, BudgetExhausted, CountExhausted
    ├── UpstreamError      5xx  Letta, LiteLLM, AMS or Supabase is at fault
    │   └── UpstreamUnreachable, UpstreamTimeout, ProviderTimeout, UpstreamFailed,
    │       ProviderFailed, BreakerOpen, BreakerTripped, UpstreamAnswerInvalid,
    │       UpstreamAnswerTooLong, UpstreamCredentialRejected, UpstreamOverloaded,
    │       UpstreamInterrupted, ProviderInterrupted
    └── InternalError      5xx  the gateway itself is at fault
        └── DatabaseUnavailable, KeysUnavailable, GatewayOverloaded, GatewayStopping

The prefix of ``code`` says whose fault it is. ``gateway_core.problem`` has the envelope.
"""

from gateway_core.errors.base import (
    FIRST_SERVER_ERROR,
    GatewayError,
)
from gateway_core.errors.caller import (
    BodyTooLarge,
    CallerError,
    CallerGone,
    EtagMismatch,
    FieldInvalid,
    IdempotencyAnswerNotKept,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyOutcomeUnknown,
    MediaTypeUnsupported,
    MethodNotAllowed,
    RequestMalformed,
    RequestTooSlow,
    ResourceConflict,
    ResourceNotFound,
    TlsMissing,
    TokenRejected,
)
from gateway_core.errors.codes import (
    Code,
)
from gateway_core.errors.internal import (
    DatabaseUnavailable,
    GatewayOverloaded,
    GatewayStopping,
    InternalError,
    KeysUnavailable,
)
from gateway_core.errors.policy import (
    AccountSuspended,
    AgentSuspended,
    FieldForbidden,
    ModelNotAllowed,
    OperationNotOffered,
    PolicyError,
    RuleDenied,
    ScopeMissing,
)
from gateway_core.errors.quota import (
    BudgetExhausted,
    CountExhausted,
    QuotaError,
    RateLimited,
    TooManyConcurrent,
)
from gateway_core.errors.upstream import (
    BreakerOpen,
    BreakerTripped,
    ProviderFailed,
    ProviderInterrupted,
    ProviderTimeout,
    UpstreamAnswerInvalid,
    UpstreamAnswerTooLong,
    UpstreamCredentialRejected,
    UpstreamError,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)

__all__ = (
    "FIRST_SERVER_ERROR",
    "AccountSuspended",
    "AgentSuspended",
    "BodyTooLarge",
    "BreakerOpen",
    "BreakerTripped",
    "BudgetExhausted",
    "CallerError",
    "CallerGone",
    "Code",
    "CountExhausted",
    "DatabaseUnavailable",
    "EtagMismatch",
    "FieldForbidden",
    "FieldInvalid",
    "GatewayError",
    "GatewayOverloaded",
    "GatewayStopping",
    "IdempotencyAnswerNotKept",
    "IdempotencyInProgress",
    "IdempotencyKeyReused",
    "IdempotencyOutcomeUnknown",
    "InternalError",
    "KeysUnavailable",
    "MediaTypeUnsupported",
    "MethodNotAllowed",
    "ModelNotAllowed",
    "OperationNotOffered",
    "PolicyError",
    "ProviderFailed",
    "ProviderInterrupted",
    "ProviderTimeout",
    "QuotaError",
    "RateLimited",
    "RequestMalformed",
    "RequestTooSlow",
    "ResourceConflict",
    "ResourceNotFound",
    "RuleDenied",
    "ScopeMissing",
    "TlsMissing",
    "TokenRejected",
    "TooManyConcurrent",
    "UpstreamAnswerInvalid",
    "UpstreamAnswerTooLong",
    "UpstreamCredentialRejected",
    "UpstreamError",
    "UpstreamFailed",
    "UpstreamInterrupted",
    "UpstreamOverloaded",
    "UpstreamTimeout",
    "UpstreamUnreachable",
)
