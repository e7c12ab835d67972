"""What the gateway's own route for model calls has refused, read out of what Letta makes of it.

Letta tells on what a model provider says, in a text of its own, with a status of its own, and in
some streams under another name (measured). The gateway's errors carry a mark that survives that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import (
    AccountSuspended,
    BreakerOpen,
    BudgetExhausted,
    Code,
    ModelNotAllowed,
    RateLimited,
    RequestMalformed,
    ResourceNotFound,
    TooManyConcurrent,
    UpstreamCredentialRejected,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llm_proxy.services import recent_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from gateway_core.errors import GatewayError

_MARK: Final = re.compile(r"urn:gateway:error:(\w+)").search
_TOO_LONG: Final = (
    "The conversation is longer than the model's context window. Send less, compact or reset the "
    "agent's messages, or choose a model with a larger window."
)
_LISTED: Final = "GET /api/v1/letta/models lists those that it may use."


def context_too_long() -> GatewayError:
    """Return the error for a conversation that its model can't take in."""
    return RequestMalformed(_TOO_LONG, code=Code.CALLER_CONTEXT_TOO_LONG)


def refusal_in(text: str) -> GatewayError | None:
    """Return what the gateway has refused a model call with; None when the text is not about it."""
    match = _MARK(text)
    if match is None or match[1] not in _CODES:
        return None
    return error_of(Code(match[1]))


def error_of(code: Code) -> GatewayError | None:
    """Return what a model call's error means for whoever has sent the agent a message.

    None for what is wrong with the call itself, which was Letta's making.
    """
    if code in _MEANINGS:
        return _MEANINGS[code]()
    return UpstreamFailed() if code.startswith(("gateway_", "upstream_")) else None


def refusal_behind(error: GatewayError, user_id: UUID) -> GatewayError:
    """Return why a user's texts were not embedded, where Letta keeps that to itself.

    Args:
        error: what Letta has answered to something that needs vectors.
    """
    refusal = recent_refusal(user_id) if error.code is Code.UPSTREAM_FAILED else None
    return (error_of(refusal) if refusal else None) or error


def told(failure: Any) -> Any:
    """Return of a failure that Letta keeps (a text or an object) what the gateway has refused.

    None when that is not what it is about.
    """
    error = refusal_in(failure if isinstance(failure, str) else str(failure))
    if error is None:
        return None
    if isinstance(failure, str):
        return f"{error.code}: {error.detail}"
    return {"code": error.code, "message": error.detail}


_CODES: Final = frozenset(Code)
_MEANINGS: Final[Mapping[Code, Callable[[], GatewayError]]] = {
    # Agents spend on nothing else, also where an API key has sent the message.
    Code.QUOTA_BUDGET_EXHAUSTED: lambda: BudgetExhausted(
        "The budget of this account is spent, which its agents spend on. It is renewed with the "
        "next budget period; GET /api/v1/me/limits says when."
    ),
    Code.QUOTA_RATE_LIMITED: lambda: RateLimited(
        "The model calls or tokens that this account may use in a minute are used up.",
        retry_after=10,
    ),
    Code.QUOTA_TOO_MANY_CONCURRENT: lambda: TooManyConcurrent(
        "Too many model calls at once on this account. Wait for one to end.", retry_after=1
    ),
    Code.POLICY_MODEL_NOT_ALLOWED: lambda: ModelNotAllowed(
        f"This account may not use the agent's model. {_LISTED}"
    ),
    Code.POLICY_ACCOUNT_SUSPENDED: AccountSuspended,
    Code.CALLER_NOT_FOUND: lambda: ResourceNotFound(
        f"The agent's model is no longer there. {_LISTED}"
    ),
    Code.CALLER_CONTEXT_TOO_LONG: context_too_long,
    # Letta was refused, not whoever has sent the message.
    Code.CALLER_TOKEN_EXPIRED: UpstreamCredentialRejected,
    Code.CALLER_TOKEN_INVALID: UpstreamCredentialRejected,
    Code.CALLER_TOKEN_MISSING: UpstreamCredentialRejected,
    Code.UPSTREAM_CREDENTIAL_REJECTED: UpstreamCredentialRejected,
    Code.UPSTREAM_OVERLOADED: lambda: UpstreamOverloaded(retry_after=1),
    Code.UPSTREAM_TIMEOUT: UpstreamTimeout,
    Code.UPSTREAM_CIRCUIT_OPEN: lambda: BreakerOpen(
        "Models are failing and left alone for a while. Repeat the request later.", retry_after=5
    ),
    Code.UPSTREAM_UNREACHABLE: lambda: UpstreamUnreachable(
        "Models can't be reached right now. Repeat the request later.", retry_after=2
    ),
}
