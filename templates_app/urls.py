from __future__ import annotations

from rest_framework.routers import SimpleRouter

from templates_app.version_views import VersionViewSet
from templates_app.views import TemplateViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register(
    "templates/<uuid:template_id>/versions", VersionViewSet, basename="template-version"
)
router.register("templates", TemplateViewSet, basename="template")

urlpatterns = router.urls
