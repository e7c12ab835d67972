"""What the real server makes of a failed call to a model provider."""

from __future__ import annotations

from typing import Final

from gateway_project.sandbox.letta.problems import (
    ContextExceededError,
    DetailError,
    ModelError,
    ProblemError,
)

# Provider's status to: answered status, error type, message, prefix of the detail.
_KNOWN: Final = {
    401: (
        401,  # as the real server: a wrong provider key looks like the caller's own 401
        "llm_authentication",
        "Authentication failed with the LLM model provider.",
        "UNAUTHENTICATED: Authentication failed with OpenAI",
    ),
    402: (
        402,
        "llm_insufficient_credits",
        "Insufficient credits for LLM request. Please check your account.",
        "PAYMENT_REQUIRED: Insufficient credits",
    ),
    429: (
        429,
        "llm_rate_limit",
        "Rate limit exceeded for LLM model provider. Please wait before making another request.",
        "RATE_LIMIT_EXCEEDED: Rate limited by OpenAI",
    ),
}
_OTHER: Final = (
    500,
    "llm_error",
    "An error occurred with the LLM request.",
    "INTERNAL_SERVER_ERROR: OpenAI API error",
)
_BYOK_RATE_LIMIT: Final = (
    "Rate limit exceeded on your API key. Please check your provider's rate limits and billing, "
    "or reduce request frequency."
)


def from_answer(status: int, body: object, *, byok: bool = False) -> ProblemError:
    """Return the error for a provider's answer that is not 2xx."""
    told = f"Error code: {status} - {body}"
    if _code(body) == "context_length_exceeded":
        return ContextExceededError(
            400,
            "CONTEXT_WINDOW_EXCEEDED: Bad request to OpenAI (context window exceeded): "
            f"{told} ({{'is_byok': {byok}}})",
        )
    answered, kind, message, prefix = _KNOWN.get(status, _OTHER)
    if kind == "llm_rate_limit" and byok:
        message = _BYOK_RATE_LIMIT
    return ModelError(answered, kind, message, f"{prefix}: {told}")


def no_connection() -> ModelError:
    """Return the error for a provider that can't be reached."""
    status, kind, message, _ = _OTHER
    detail = "INTERNAL_SERVER_ERROR: Failed to connect to OpenAI: Connection error."
    return ModelError(status, kind, message, detail)


def in_a_stream(error: object) -> ModelError:
    """Return the error for what a provider says in place of the rest of a stream."""
    status, kind, message, prefix = _OTHER
    told = error.get("message") if isinstance(error, dict) else error
    return ModelError(status, kind, message, f"{prefix}: {told}")


def not_an_answer() -> DetailError:
    """Return the error for a 2xx that is no chat completion."""
    return DetailError(400, "1 validation errors for ChatCompletionResponse\nchoices")


def _code(body: object) -> object:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None
