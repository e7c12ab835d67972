from __future__ import annotations

from django.urls import path

from gateway_project.system.policy import SimulationView
from gateway_project.system.views import (
    BreakerView,
    HealthView,
    InfoView,
    ReadyView,
    UpstreamsView,
)

urlpatterns = [
    path("health", HealthView.as_view(), name="health"),
    path("ready", ReadyView.as_view(), name="ready"),
    path("info", InfoView.as_view(), name="info"),
    path("upstreams", UpstreamsView.as_view(), name="upstreams"),
    path("upstreams/<str:name>/breaker", BreakerView.as_view(), name="breaker"),
    path("policy/simulate", SimulationView.as_view(), name="policy-simulate"),
]
