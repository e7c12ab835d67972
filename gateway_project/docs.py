"""Pages beside the API: its description, in three forms, and the metrics."""

from __future__ import annotations

import hmac
import threading
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.http import Http404, HttpResponse
from django.urls import path, reverse_lazy
from django.views.decorators.http import require_GET
from django.views.generic import RedirectView
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from gateway_core.errors import Code, TokenRejected
from gateway_project.problems import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponseBase
    from rest_framework.request import Request

    View = Callable[..., HttpResponseBase]

_describing: Final = threading.Lock()


def where_enabled(setting: str, view: View) -> View:
    """Return a view that is not there while the setting is off."""

    @wraps(view)
    def handle(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not getattr(settings, setting):
            raise Http404
        return view(request, *args, **kwargs)

    return handle


class SchemaView(SpectacularAPIView):
    """The description of the API, the same for everybody.

    It is made once for each of its forms: that takes half a second of a core.
    """

    @extend_schema(exclude=True)
    def get(self, request: Request, *_args: object, **_named: object) -> HttpResponse:
        """Return the form that is asked for."""
        form = request.accepted_renderer
        maker: Any = type(form)
        with _describing:  # of many who come first, one makes it
            description = _description(maker)
        name = f"ai-agent-gateway.{form.format}"
        return HttpResponse(
            description,
            content_type=form.media_type,
            headers={"content-disposition": f'inline; filename="{name}"'},
        )


@cache
def _description(maker: Any) -> bytes:
    generator: Any = SchemaGenerator
    rendered: bytes = maker().render(generator().get_schema(request=None, public=True))
    return rendered


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics of this process, or of all workers with ``PROMETHEUS_MULTIPROC_DIR``."""
    if settings.METRICS_TOKEN:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
            code = Code.CALLER_TOKEN_INVALID if given else Code.CALLER_TOKEN_MISSING
            return render(TokenRejected("Send the token of the metrics.", code=code))
    answer: HttpResponse = ExportToDjangoView(request)
    return answer


_SCHEMA_URL = reverse_lazy("schema")

urlpatterns = [
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}gateway/favicon.svg")),
    path("", where_enabled("ENABLE_DOCS", RedirectView.as_view(pattern_name="docs")), name="root"),
    path("metrics", where_enabled("ENABLE_METRICS", metrics), name="metrics"),
    path(
        "api/schema",
        where_enabled("ENABLE_DOCS", SchemaView.as_view()),
        name="schema",
    ),
    path(
        "docs",
        where_enabled(
            "ENABLE_DOCS",
            SpectacularSwaggerSplitView.as_view(
                url=_SCHEMA_URL, template_name="gateway/swagger.html"
            ),
        ),
        name="docs",
    ),
    path(
        "redoc",
        where_enabled(
            "ENABLE_DOCS",
            SpectacularRedocView.as_view(url=_SCHEMA_URL, template_name="gateway/redoc.html"),
        ),
        name="redoc",
    ),
]
