"""What this app holds of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

from accounts.holdings import Document, Holder
from templates_app.bundles import export_template
from templates_app.models import Template, TemplateVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID


def _summarise(user_id: UUID) -> dict[str, Any]:
    used = Template.objects.filter(owner_id=user_id).count()
    return {"templates": {"used": used, "limit": settings.MAX_TEMPLATES_PER_USER}}


def _export(user_id: UUID) -> Iterator[Document]:
    for template in Template.objects.filter(owner_id=user_id).order_by("name"):
        yield Document(f"{template.name}.template.json", export_template(template))


def _count(user_id: UUID) -> dict[str, int]:
    versions = TemplateVersion.objects.filter(template__owner_id=user_id)
    return {
        "templates": Template.objects.filter(owner_id=user_id).count(),
        "versions": versions.count(),
    }


def _erase(user_id: UUID) -> dict[str, int]:
    _, by_model = Template.objects.filter(owner_id=user_id).delete()
    return {
        "templates": by_model.get("templates_app.Template", 0),
        "versions": by_model.get("templates_app.TemplateVersion", 0),
    }


HOLDER: Final = Holder(
    name="templates", summarise=_summarise, export=_export, count=_count, erase=_erase
)
