"""403: the request is understood and not allowed."""

from __future__ import annotations

from gateway_core.errors.base import GatewayError
from gateway_core.errors.codes import Code


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
