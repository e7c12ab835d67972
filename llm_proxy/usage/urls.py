from __future__ import annotations

from django.urls import path

from llm_proxy.usage.views import MyUsageView

urlpatterns = [path("", MyUsageView.as_view(), name="my-usage")]
