"""What callers send, as the views take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings

from gateway_core.intake import raw_body, valid
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
    document = json_of(content)
    return cast("Bundle", valid(BundleSerializer(data=document)))
