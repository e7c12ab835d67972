"""What is done to templates that are there: described, hidden, deprecated, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, RestrictedError
from django.utils import timezone

from accounts.staff import require
from gateway_core.audit.services import record_change
from gateway_core.errors import ResourceConflict
from templates_app.lookup import locked_template, no_version, of_text
from templates_app.models import Template, TemplateVersion, Visibility
from templates_app.permissions import DELETE, PUBLISH
from templates_app.usage import in_use

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import User


class Traits(TypedDict, total=False):
    """What may be changed of a template."""

    description: str
    tags: list[str]
    labels: dict[str, str]
    visibility: str


@transaction.atomic
def update_template(*, by: User | None, template_id: UUID, traits: Traits) -> Template:
    """Change what is said about a template. One that becomes public becomes the product's.

    Raises:
        ResourceNotFound: there is none.
        PolicyError: it is not theirs to change, or to show to everybody.
        ResourceConflict: the product has one of that name.
    """
    template = locked_template(by=by, template_id=template_id)
    if "visibility" in traits:
        _make_visible(template, by, Visibility(traits["visibility"]))
    for name, value in traits.items():
        setattr(template, name, value)
    template.save()
    _record(template, by, "update", **traits)
    return template


@transaction.atomic
def delete_template(*, by: User | None, template_id: UUID) -> Template | None:
    """Delete a template and its versions; one that is in use is deprecated instead.

    Returns:
        The deprecated template, None when it is gone.

    Raises:
        ResourceNotFound: there is none.
        PolicyError: it is not theirs to delete.
    """
    template = locked_template(by=by, template_id=template_id, permission=DELETE)
    if in_use(template.pk) or not _delete(template):
        return _set_deprecated(template, by, is_deprecated=True)
    _record(template, by, "delete", name=template.name)
    return None


@transaction.atomic
def deprecate_template(*, by: User | None, template_id: UUID) -> Template:
    """Have no more agents made from a template; raises as ``update_template`` does."""
    return _set_deprecated(locked_template(by=by, template_id=template_id), by, is_deprecated=True)


@transaction.atomic
def undeprecate_template(*, by: User | None, template_id: UUID) -> Template:
    """Take a deprecation back; raises as ``update_template`` does."""
    return _set_deprecated(locked_template(by=by, template_id=template_id), by, is_deprecated=False)


@transaction.atomic
def deprecate_version(*, by: User | None, template_id: UUID, version: str) -> TemplateVersion:
    """Have no more agents made from a version. Was it the latest, the highest other one becomes it.

    Raises:
        ResourceNotFound: there is no such version.
        PolicyError: it is not theirs to change.
    """
    row = _locked_version(by, template_id, version)
    if row.deprecated_at is None:
        was_latest, row.is_latest, row.deprecated_at = row.is_latest, False, timezone.now()
        row.save(update_fields=("is_latest", "deprecated_at"))
        if was_latest:
            choose_latest(row.template)
        _record(row.template, by, "deprecate_version", version=row.version)
    return row


@transaction.atomic
def undeprecate_version(*, by: User | None, template_id: UUID, version: str) -> TemplateVersion:
    """Take a deprecation back; raises as ``deprecate_version`` does."""
    row = _locked_version(by, template_id, version)
    if row.deprecated_at is not None:
        row.is_latest = not row.template.versions.filter(is_latest=True).exists()
        row.deprecated_at = None
        row.save(update_fields=("is_latest", "deprecated_at"))
        _record(row.template, by, "undeprecate_version", version=row.version)
    return row


@transaction.atomic
def make_latest(*, by: User | None, template_id: UUID, version: str) -> TemplateVersion:
    """Make a version the one that agents are made from when none is named.

    Raises:
        ResourceNotFound: there is no such version.
        PolicyError: it is not theirs to change.
        ResourceConflict: it is deprecated.
    """
    row = _locked_version(by, template_id, version)
    if row.deprecated_at is not None:
        raise ResourceConflict(f"Version {row.version} is deprecated. Undeprecate it first.")
    if not row.is_latest:
        row.template.versions.filter(is_latest=True).update(is_latest=False)
        row.is_latest = True
        row.save(update_fields=("is_latest",))
        _record(row.template, by, "make_latest", version=row.version)
    return row


def _make_visible(template: Template, by: User | None, visibility: Visibility) -> None:
    if visibility is not Visibility.PUBLIC or visibility == template.visibility:
        return
    require(by, PUBLISH, otherwise="Only staff publish templates for everybody.")
    if template.owner_id is not None:
        template.owner = None
        try:
            with transaction.atomic():
                template.save(update_fields=("owner",))
        except IntegrityError as exc:
            raise ResourceConflict(
                f"The product has a template {template.name} already.", param="/visibility"
            ) from exc


def _locked_version(by: User | None, template_id: UUID, version: str) -> TemplateVersion:
    template = locked_template(by=by, template_id=template_id)
    row = of_text(template.versions.without_content(), version).first()
    if row is None:
        raise no_version(version)
    row.template = template
    return row


def choose_latest(template: Template) -> None:
    """Make the highest release the latest that is not deprecated, or else a pre-release."""
    rows = list(template.versions.without_content().filter(deprecated_at=None))
    releases = [row for row in rows if not row.is_prerelease]
    for row in (releases or rows)[:1]:
        row.is_latest = True
        row.save(update_fields=("is_latest",))


def _delete(template: Template) -> bool:
    """Say whether it could be: rows of other apps may need it, as the database knows best."""
    pk = template.pk
    try:
        with transaction.atomic():
            template.delete()
    except (ProtectedError, RestrictedError):
        return False
    template.pk = pk
    return True


def _set_deprecated(template: Template, by: User | None, *, is_deprecated: bool) -> Template:
    if is_deprecated != (template.deprecated_at is not None):
        template.deprecated_at = timezone.now() if is_deprecated else None
        template.save(update_fields=("deprecated_at", "updated_at"))
        _record(template, by, "deprecate" if is_deprecated else "undeprecate")
    return template


def _record(template: Template, by: User | None, verb: str, **facts: Any) -> None:
    record_change(
        actor=by, action=f"template.{verb}", resource=f"template:{template.pk}", facts=facts
    )
