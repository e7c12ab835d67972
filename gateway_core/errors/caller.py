"""4xx: the request is at fault."""

from __future__ import annotations

from typing import Final

from gateway_core.errors.base import GatewayError
from gateway_core.errors.codes import Code

_HTTP_CLIENT_CLOSED_REQUEST: Final = 499


class CallerError(GatewayError):
    """The caller can mend the request."""

    code = Code.CALLER_REQUEST_MALFORMED
    status = 400


class RequestMalformed(CallerError):
    """Not HTTP, JSON or multipart that can be read."""


class RequestTooSlow(RequestMalformed):
    """A part of the request, like its body, did not arrive in time."""

    status = 408


class TlsMissing(CallerError):
    """The request came in plain where TLS is asked for."""

    code = Code.CALLER_TLS_MISSING
    detail = (
        "This request came without TLS. Call https:// instead, and replace the token or API key "
        "that it carried: it could be read on the way."
    )


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
