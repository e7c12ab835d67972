"""The proxy's two error shapes. ``error.code`` is the status as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response


class ProxyError(Exception):
    """``{"error": {"message", "type", "param", "code"}}``.

    Args:
        status: HTTP status.
        kind: ``error.type``, the only member to branch on.
        message: text; the real one leaks key hashes, model groups and Python reprs, so this does.
        param: the parameter at fault.
        headers: further headers.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        members = {"message": message, "type": kind, "param": param, "code": str(status)}
        self.body = {"error": members}


class DetailError(Exception):
    """FastAPI's ``{"detail": …}``."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


def unauthorized(message: str, kind: str = "auth_error", param: str | None = None) -> ProxyError:
    """Return the 401 of a key that can't be used."""
    return ProxyError(401, kind, f"Authentication Error, {message}", param=param)


def answer_proxy_error(_: Request, error: Exception) -> Response:
    """Return a ``ProxyError`` as the answer."""
    assert isinstance(error, ProxyError)  # noqa: S101 - registered for this class only
    return JSONResponse(error.body, error.status, headers=error.headers)


def answer_detail_error(_: Request, error: Exception) -> Response:
    """Return a ``DetailError`` as the answer."""
    assert isinstance(error, DetailError)  # noqa: S101 - registered for this class only
    return JSONResponse({"detail": error.detail}, error.status)


def answer_http_error(_: Request, error: Exception) -> Response:
    """Return the answer for a wrong path or method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    return JSONResponse({"detail": error.detail}, error.status_code)
