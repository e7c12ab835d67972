"""Which errors an operation of the OpenAPI document can be answered with.

They follow from what is described of it already: its parameters, its body, who may call it, and
what stands behind it. Any other 4xx is a fault of the gateway, and tests take it for one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PROBLEM: Final = {"$ref": "#/components/responses/Problem"}
_ALWAYS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.TOO_MANY_REQUESTS)
_FOR_CALLERS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_FOR_BODIES: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
# What an upstream says of a request that is wrong goes on to the caller.
_OF_UPSTREAMS: Final = (
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
# Agents can be suspended, and their memory with them.
_OF_AGENTS: Final = ("/api/v1/letta/", "/api/v1/agents/{", "/api/v1/ams/agents/{")


def errors_of(
    path: str, method: str, operation: Mapping[str, Any], *, is_proxied: bool
) -> dict[str, Any]:
    """Return the error responses of an operation, by status.

    Args:
        path: with its parameters in braces.
        method: in lower case.
        operation: as the document describes it.
        is_proxied: an upstream answers it.
    """
    found = {*_ALWAYS, *_told(path, method, operation)}
    if is_proxied:
        found |= {*_OF_UPSTREAMS}
    return {**{str(int(one)): _PROBLEM for one in sorted(found)}, "5XX": _PROBLEM}


def _told(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[HTTPStatus]:
    parameters = operation.get("parameters", ())
    if any(operation.get("security", ())):
        yield from _FOR_CALLERS
    if "{" in path:
        yield HTTPStatus.NOT_FOUND
    if "requestBody" in operation:
        yield from _FOR_BODIES
    if any(one["in"] == "query" for one in parameters):
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if method != "get":
        yield HTTPStatus.CONFLICT
    if method == "post":  # the key may belong to another body
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if any(one["name"] == "If-Match" for one in parameters):
        yield HTTPStatus.PRECONDITION_FAILED
    if path.startswith(_OF_AGENTS):
        yield HTTPStatus.LOCKED
