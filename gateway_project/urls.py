"""The control plane's addresses. The data plane's are in ``routing``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("accounts.urls")),
    path("api/v1/me/usage", include("llm_proxy.usage.urls")),
    path("api/v1/llm/", include("llm_proxy.urls")),
    path("api/v1/", include("templates_app.urls")),
    path("api/v1/", include("agents.urls")),
    path("api/v1/system/", include("gateway_project.system.urls")),
    path("admin/", admin.site.urls),
    path("", include("gateway_project.docs")),
]
handler400 = "gateway_project.problems.bad_request"
handler403 = "gateway_project.problems.forbidden"
handler404 = "gateway_project.problems.not_found"
handler500 = "gateway_project.problems.server_error"
