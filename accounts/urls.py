from __future__ import annotations

from django.urls import path

from accounts.sessions.views import SignOutView
from accounts.views import MeView

urlpatterns = [
    path("me", MeView.as_view(), name="me"),
    path("me/sign-out", SignOutView.as_view(), name="me-sign-out"),
]
