from __future__ import annotations

from django.urls import path

from accounts.holdings.views import ErasureView, ExportFileView, ExportView
from accounts.plans.views import MyLimitsView
from accounts.sessions.views import SignOutView
from accounts.views import MeView

urlpatterns = [
    path("erasures/<uuid:job_id>", ErasureView.as_view(), name="erasure"),
    path("me", MeView.as_view(), name="me"),
    path("me/export", ExportView.as_view(), name="me-export"),
    path("me/export/file", ExportFileView.as_view(), name="me-export-file"),
    path("me/limits", MyLimitsView.as_view(), name="me-limits"),
    path("me/sign-out", SignOutView.as_view(), name="me-sign-out"),
]
