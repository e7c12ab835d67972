"""Finding templates and versions for somebody: what they may not see is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from accounts.staff import require
from gateway_core.errors import ResourceConflict, ResourceNotFound
from templates_app.agent_file import versions
from templates_app.models import Template, TemplateVersion, TemplateVersionQuerySet
from templates_app.permissions import CHANGE

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import User

LATEST: Final = "latest"
NO_TEMPLATE: Final = "There is no such template. Check its id."


def visible_template(*, user: User, template_id: UUID) -> Template:
    """Return a template.

    Raises:
        ResourceNotFound: there is none, or the user may not see it.
    """
    template = Template.objects.for_user(user).filter(pk=template_id).first()
    if template is None:
        raise ResourceNotFound(NO_TEMPLATE)
    return template


def visible_version(*, user: User, template_id: UUID, version: str) -> TemplateVersion:
    """Return a version with its template.

    Args:
        version: a semantic version, or ``latest``.

    Raises:
        ResourceNotFound: there is none, or the user may not see it.
    """
    visible = Template.objects.for_user(user).filter(pk=template_id)
    found = TemplateVersion.objects.select_related("template").filter(template__in=visible)
    row = of_text(found, version).first()
    if row is None:
        raise no_version(version, is_visible=visible.exists())
    return row


def any_version(*, template_id: UUID, version: str) -> TemplateVersion:
    """Return a version with its template, whoever may see it: for commands.

    Raises:
        ResourceNotFound: there is none.
    """
    found = TemplateVersion.objects.select_related("template").filter(template=template_id)
    row = of_text(found, version).first()
    if row is None:
        raise no_version(version, is_visible=Template.objects.filter(pk=template_id).exists())
    return row


def resolve_version(
    *, user: User, template_id: UUID, version: str = LATEST, allow_deprecated: bool = False
) -> TemplateVersion:
    """Return the version, with its template, that an agent is to be made from.

    Args:
        allow_deprecated: for agents that are there already: to look at, move or roll them back.

    Raises:
        ResourceNotFound: there is none, or the user may not see it.
        ResourceConflict: it or its template is deprecated.
    """
    row = visible_version(user=user, template_id=template_id, version=version)
    if not allow_deprecated and row.template.deprecated_at:
        raise ResourceConflict("The template is deprecated. No more agents are made from it.")
    if not allow_deprecated and row.deprecated_at:
        raise ResourceConflict(
            f"Version {row.version} is deprecated. No more agents are made from it."
        )
    return row


def of_text(rows: TemplateVersionQuerySet, version: str) -> TemplateVersionQuerySet:
    """Return those of a version's text; a text that is no version is no version's."""
    if version == LATEST:
        return rows.filter(is_latest=True)
    try:
        versions.parse(version)
    except ValueError:
        return rows.none()
    return rows.filter(version=version)


def locked_template(*, by: User | None, template_id: UUID, permission: str = CHANGE) -> Template:
    """Return a template for a change, locked until the transaction ends.

    Args:
        permission: what staff need when it is not their own.

    Raises:
        ResourceNotFound: it is gone.
        PolicyError: it is not this user's to change.
    """
    template = Template.objects.select_for_update(no_key=True).filter(pk=template_id).first()
    if template is None:
        raise ResourceNotFound(NO_TEMPLATE)
    if by is None or template.owner_id != by.pk:
        told = "This template belongs to the product. Clone it to change your own copy."
        require(by, permission, otherwise=told)
    return template


def no_version(version: str, *, is_visible: bool = True) -> ResourceNotFound:
    """Return the error for a version that is not there, or one's template when that is not."""
    if not is_visible:
        return ResourceNotFound(NO_TEMPLATE)
    if version == LATEST:
        return ResourceNotFound(
            "The template has no latest version: all of them are deprecated. Publish another one, "
            "or undeprecate one."
        )
    return ResourceNotFound(f"The template has no version {version[:64]}.")
