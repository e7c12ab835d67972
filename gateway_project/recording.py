"""What only Django knows of a request, for its log line, its metrics and its audit event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import SESSION_KEY
from django.utils.deprecation import MiddlewareMixin

from gateway_core import context
from gateway_core.errors import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class RecordingMiddleware(MiddlewareMixin):
    """Names the operation after the route, and whoever is signed in to the admin."""

    def process_view(
        self, request: HttpRequest, _view: Callable[..., HttpResponse], *_: object
    ) -> None:
        """Take the name of the route, which comes from a closed set."""
        record = context.current.get()
        if record is not None and request.resolver_match is not None:
            record.operation = request.resolver_match.view_name or record.operation

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Take the user of the session, if anybody asked for it: this makes no query.

        A session that could not be read would be asked for again.
        """
        record = context.current.get()
        if record is None or record.user_id:
            return response
        if record.error_code == Code.GATEWAY_DATABASE_UNAVAILABLE:
            return response
        if request.session.accessed:
            record.user_id = str(request.session.get(SESSION_KEY, ""))
        return response
