"""The control plane's errors in the same envelope as the data plane's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from django.utils.html import escape
from django.views import defaults
from rest_framework import exceptions
from rest_framework.settings import api_settings

from gateway_core import context, problem
from gateway_core.errors import (
    FIRST_SERVER_ERROR,
    CallerError,
    Code,
    DatabaseUnavailable,
    FieldInvalid,
    GatewayError,
    InternalError,
    MediaTypeUnsupported,
    MethodNotAllowed,
    PolicyError,
    RateLimited,
    RequestMalformed,
    ResourceNotFound,
    TokenRejected,
)
from gateway_core.postgresql.away import AWAY

if TYPE_CHECKING:
    from django.http import HttpRequest

_API: Final = "/api/"
_NOT_ALLOWED: Final = "This is not allowed for this account."


def exception_handler(exc: Exception, _context: dict[str, Any]) -> HttpResponse | None:
    """Turn what a DRF view raised into the envelope; None for what is not ours to explain."""
    error = as_gateway_error(exc)
    return None if error is None else render(error)


def as_gateway_error(exc: Exception) -> GatewayError | None:
    """Return the error of ours that a framework's exception means."""
    if isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, AWAY):
        return DatabaseUnavailable()
    if isinstance(exc, Http404):
        return ResourceNotFound()
    if isinstance(exc, PermissionDenied):
        return PolicyError(_NOT_ALLOWED)
    if isinstance(exc, exceptions.APIException):
        return _from_api_exception(exc)
    return None


def _from_api_exception(exc: exceptions.APIException) -> GatewayError:  # noqa: PLR0911 - a table
    match exc:
        case exceptions.ValidationError():
            faults = list(_faults(exc.detail))
            return FieldInvalid(_said(faults[0]), param=faults[0]["pointer"], errors=faults)
        case exceptions.ParseError():
            return RequestMalformed(str(exc.detail))
        case exceptions.NotAuthenticated():
            return TokenRejected(
                "Send a token: Authorization: Bearer <access token>.",
                code=Code.CALLER_TOKEN_MISSING,
            )
        case exceptions.AuthenticationFailed():
            return TokenRejected("The token is not valid. Sign in again.")
        case exceptions.PermissionDenied():
            return PolicyError(_why_denied(exc))
        case exceptions.NotFound():
            return ResourceNotFound()
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed(f"{exc.detail} The Allow header names those that are.")
        case exceptions.UnsupportedMediaType() | exceptions.NotAcceptable():
            detail = f"{exc.detail} /docs names the types of each path, mostly application/json."
            return MediaTypeUnsupported(detail, status=exc.status_code)
        case exceptions.Throttled():
            return RateLimited(
                "Too many requests from here. Wait for the seconds that Retry-After says.",
                retry_after=getattr(exc, "wait", None),
            )
        case _:
            kind = CallerError if exc.status_code < FIRST_SERVER_ERROR else InternalError
            return kind(str(exc.detail), status=exc.status_code)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404: the envelope below /api, a page elsewhere."""
    if not request.path.startswith(_API):
        return defaults.page_not_found(request, exception)
    path = context.shown_path(request.path)
    return render(ResourceNotFound(f"The API has no path {path}. /docs lists those it has."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's 500: the envelope below /api, a page elsewhere; 503 for what can't be helped now."""
    expected = _told(request, sys.exception())
    if expected is not None:
        return expected
    if not request.path.startswith(_API):
        return defaults.server_error(request)
    return render(InternalError())


class ExpectedErrorsMiddleware(MiddlewareMixin):
    """Answers for the admin and other plain views when a database or an upstream is away."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return what the exception means; None for what is a fault of ours."""
        return _told(request, exception)


def _told(request: HttpRequest, exc: BaseException | None) -> HttpResponse | None:
    """Return the answer for an error that may happen: the envelope below /api, a page elsewhere."""
    if not isinstance(exc, (GatewayError, *AWAY)):
        return None
    error = as_gateway_error(exc) or InternalError()
    if request.path.startswith(_API):
        return render(error)
    told = problem.answer(error, context.current.get())
    page = defaults.ERROR_PAGE_TEMPLATE % {
        "title": escape(error.code.replace("_", " ").capitalize()),
        "details": escape(error.detail),
    }
    told.fields["content-type"] = "text/html; charset=utf-8"
    return HttpResponse(page, status=told.status, headers=told.fields)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400, for a forbidden Host or a suspicious request."""
    if not request.path.startswith(_API):
        return defaults.bad_request(request, exception)
    return render(
        RequestMalformed("The request can't be understood, or its Host is none of ALLOWED_HOSTS.")
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 403."""
    if not request.path.startswith(_API):
        return defaults.permission_denied(request, exception)
    return render(PolicyError(_NOT_ALLOWED))


def render(error: GatewayError) -> HttpResponse:
    """Return the envelope as a plain Django response."""
    told = problem.answer(error, context.current.get())
    return HttpResponse(told.body, status=told.status, headers=told.fields)


def _said(fault: dict[str, str]) -> str:
    """Name the field, which messages don't: SDKs show nothing but the sentence."""
    where, message = fault["pointer"] or "The body", fault["message"]
    if message.startswith("This field"):
        return message.replace("This field", where, 1)
    return f"{where}: {message}"


def _why_denied(exc: exceptions.PermissionDenied) -> str:
    """Return what the view's permission says, such as that a form had no CSRF token."""
    said = str(exc.detail)
    return _NOT_ALLOWED if said == exceptions.PermissionDenied.default_detail else said


def _faults(detail: Any, pointer: str = "") -> Any:
    """Yield one ``{"pointer", "message"}`` for each leaf of DRF's nested error detail."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            is_of_all = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _faults(inner, pointer if is_of_all else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            is_leaf = not isinstance(inner, dict | list)
            yield from _faults(inner, pointer if is_leaf else f"{pointer}/{index}")
    else:
        yield {"pointer": pointer, "message": str(detail)}
