from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from agents import ams_views
from agents.upgrades.fleets.views import FleetViewSet
from agents.views import AgentViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("templates/<uuid:template_id>/migrations", FleetViewSet, basename="fleet-migration")
router.register("agents", AgentViewSet, basename="agent")

urlpatterns = [
    *router.urls,
    path("ams/health", ams_views.HealthView.as_view(), name="ams-health"),
    path("ams/templates/validate", ams_views.ValidateView.as_view(), name="ams-validate"),
    path("ams/templates/publish", ams_views.PublishView.as_view(), name="ams-publish"),
    path("ams/agents/create", ams_views.CreateView.as_view(), name="ams-create-agent"),
    path(
        "ams/agents/<str:pk>/upgrade",
        AgentViewSet.as_view({"post": "upgrade_compatibly"}),
        name="ams-upgrade-agent",
    ),
    path("ams/me", ams_views.MeView.as_view(), name="ams-me"),
]
