"""Who is signed in to the admin, which only Django knows, for the record of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import SESSION_KEY
from django.utils.deprecation import MiddlewareMixin

from gateway_core import context
from gateway_core.errors import Code

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class RecordingMiddleware(MiddlewareMixin):
    """Names whoever is signed in to the admin."""

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
