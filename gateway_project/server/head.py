"""What httptools lets pass of the head of a request, and has two readings or is too much."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway_core.errors import RequestMalformed

if TYPE_CHECKING:
    from gateway_project.server.config import Bounds

_VERSIONS: Final = ("1.1", "1.0")
# What a header takes besides its name and value.
_EXTRA_BYTES: Final = 4


def check(target: bytes, headers: list[tuple[bytes, bytes]], version: str, bounds: Bounds) -> None:
    """Refuse a head that is over the bounds, or could be meant in another way.

    Args:
        headers: their names in lower case.
        version: of HTTP, like ``1.1``.

    Raises:
        RequestMalformed: 400, 414 or 431.
    """
    _check_target(target, bounds.target_bytes)
    size, hosts, is_encoded = len(target), 0, False
    for name, value in headers:
        size += len(name) + len(value) + _EXTRA_BYTES
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            is_encoded = True
            if value.lower() != b"chunked":
                raise RequestMalformed("Of transfer encodings only chunked is understood.")
    if size > bounds.head_bytes or len(headers) > bounds.headers:
        raise too_large()
    if version not in _VERSIONS:
        raise RequestMalformed("Speak HTTP/1.1.")
    if hosts > 1 or (version == "1.1" and not hosts):
        raise RequestMalformed("Send one Host header.")
    if is_encoded and version == "1.0":
        raise RequestMalformed("HTTP/1.0 has no transfer encodings.")


def too_large() -> RequestMalformed:
    """Return what is said of too many headers, or too large ones."""
    return RequestMalformed(
        "The request has too many headers, or too large ones.",
        status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    )


def _check_target(target: bytes, most_bytes: int) -> None:
    if len(target) > most_bytes:
        raise RequestMalformed(
            f"The path with its query is longer than {most_bytes} bytes.",
            status=HTTPStatus.REQUEST_URI_TOO_LONG,
        )
    if target[:1] != b"/" or b"#" in target:
        raise RequestMalformed("Ask for a path that begins with a slash, without a fragment.")
