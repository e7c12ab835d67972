from __future__ import annotations

from django.urls import path

from accounts.views import MeView

urlpatterns = [path("", MeView.as_view(), name="me")]
