"""Pages beside the API: its description, in three forms, and the metrics."""

from __future__ import annotations

import hmac
from functools import wraps
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import Http404
from django.urls import path, reverse_lazy
from django.views.decorators.http import require_GET
from django.views.generic import RedirectView
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from gateway_core.errors import Code, TokenRejected
from gateway_project.problems import render
from gateway_project.throttling import AddressThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse, HttpResponseBase

    View = Callable[..., HttpResponseBase]


def where_enabled(setting: str, view: View) -> View:
    """Return a view that is not there while the setting is off."""

    @wraps(view)
    def handle(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not getattr(settings, setting):
            raise Http404
        return view(request, *args, **kwargs)

    return handle


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
        where_enabled(
            "ENABLE_DOCS", SpectacularAPIView.as_view(throttle_classes=[AddressThrottle])
        ),
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
