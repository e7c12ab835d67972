"""5xx: the gateway itself is at fault."""

from __future__ import annotations

from gateway_core.errors.base import GatewayError
from gateway_core.errors.codes import Code


class InternalError(GatewayError):
    """The gateway itself is at fault."""


class DatabaseUnavailable(InternalError):
    """PostgreSQL can't be reached: 503, and never mistaken for a bad token."""

    code = Code.GATEWAY_DATABASE_UNAVAILABLE
    status = 503
    retryable = True
    retry_after = 2
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
