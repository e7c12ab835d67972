"""What clients may branch on."""

from __future__ import annotations

from enum import StrEnum


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
    CALLER_TLS_MISSING = "caller_tls_missing"
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
