"""The roof as a Django app: system checks, commands, and the admin site of the product."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class GatewayAdminConfig(AdminConfig):
    """Django's admin with our site."""

    default_site = "gateway_project.admin.GatewayAdminSite"


class RoofConfig(AppConfig):
    """Registers the checks."""

    name = "gateway_project"
    label = "roof"

    def ready(self) -> None:
        """Import what registers itself."""
        from gateway_project import checks  # noqa: F401, PLC0415 - needs loaded apps
        from gateway_project.sentinel import admin  # noqa: F401, PLC0415 - needs loaded apps
