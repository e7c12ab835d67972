"""What callers send, as the views take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings

from gateway_core.errors import BodyTooLarge
from templates_app.parsers import json_of
from templates_app.serializers import BundleSerializer

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.serializers import BaseSerializer

    from accounts.models import User
    from templates_app.services import Bundle


def caller_of(request: Request) -> User:
    """Return whoever makes a request."""
    return cast("User", request.user)


def raw_body(request: Request, max_bytes: int) -> tuple[bytes, str]:
    """Return the body as it is, and its Content-Type.

    Not by a parser: REST framework takes a body that comes in chunks for none.

    Raises:
        BodyTooLarge: there is more of it.
    """
    content = request._request.read(max_bytes + 1)  # noqa: SLF001 - the request that it wraps
    if len(content) > max_bytes:
        raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
    return content, request.content_type


def query_of(request: Request, kind: type[BaseSerializer[Any]]) -> dict[str, Any]:
    """Return the query as a serializer understands it.

    Raises:
        ValidationError: it doesn't.
    """
    return valid(kind(data=request.query_params))


def bundle_of(request: Request) -> Bundle:
    """Return the bundle in the body.

    Raises:
        BodyTooLarge, RequestMalformed: the body can't be read.
        ValidationError: it is no bundle.
    """
    content, _media_type = raw_body(request, settings.MAX_BUNDLE_BYTES)
    document = json_of(content, settings.MAX_BUNDLE_BYTES)
    return cast("Bundle", valid(BundleSerializer(data=document)))


def valid(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """Return the values of a serializer that was given some.

    Raises:
        ValidationError: they are not valid.
    """
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
