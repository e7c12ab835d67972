"""Paths of the API, the pages and the metrics mean the same with and without a slash at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.deprecation import MiddlewareMixin

if TYPE_CHECKING:
    from django.http import HttpRequest

# Django's admin has slashes at the end, and redirects to them itself.
_WITH_LAST_SLASH: Final = ("/admin/", "/static/")


class LastSlashMiddleware(MiddlewareMixin):
    """Drops one slash at the end before the path is resolved, so that routes are written without.

    A redirect would lose the body of a POST, and most clients send no token along with one.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Rewrite what is resolved; ``request.path`` stays as the caller wrote it."""
        request.path_info = without_last_slash(request.path_info)


def without_last_slash(path: str) -> str:
    """Return a path as it is resolved."""
    if len(path) > 1 and path.endswith("/") and not path.startswith(_WITH_LAST_SLASH):
        return path[:-1]
    return path
