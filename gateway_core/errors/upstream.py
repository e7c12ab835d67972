"""5xx: Letta, LiteLLM, AMS or Supabase is at fault."""

from __future__ import annotations

from typing import ClassVar

from gateway_core.errors.base import GatewayError
from gateway_core.errors.codes import Code


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


class BreakerTripped(BreakerOpen):
    """Staff have it left alone until they say otherwise; nothing has been sent."""

    retry_after = 60
    detail = (
        "The operators of the gateway have the service behind it left alone. Repeat the request "
        "in some minutes."
    )


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


class UpstreamAnswerTooLong(UpstreamAnswerInvalid):
    """It answered with more than the gateway takes; what users keep can bring that about."""

    is_outage = False


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
