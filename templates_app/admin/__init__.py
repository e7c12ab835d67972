"""Templates for staff: looked at here, changed only by what ``services`` offer."""

from __future__ import annotations

from templates_app.admin.of_templates import TemplateAdmin
from templates_app.admin.of_versions import TemplateVersionAdmin

__all__ = ("TemplateAdmin", "TemplateVersionAdmin")
