"""Publishing: a version is added to a template, which is made with its first one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.db import transaction

from accounts.models import User
from accounts.staff import require
from gateway_core.audit.services import record_change
from gateway_core.errors import CountExhausted, ResourceConflict
from templates_app.agent_file import versions
from templates_app.agent_file.canonical import checksum
from templates_app.agent_file.loading import Format, Loaded
from templates_app.elsewhere import require_kept_here
from templates_app.lookup import LATEST, visible_version
from templates_app.models import Template, TemplateVersion, Visibility
from templates_app.permissions import PUBLISH
from templates_app.reading import read_file, require_valid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from templates_app.agent_file.versions import SemVer

_VERSION = "/template/version"
_NAME = "/template/name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a file is published.

    Attributes:
        by: who does it, None for the gateway itself.
        visibility: public templates are the product's, and so are all of the gateway's own.
    """

    by: User | None
    visibility: Visibility = Visibility.PRIVATE

    @property
    def owner(self) -> User | None:
        """Whose template it is."""
        return None if self.visibility is Visibility.PUBLIC else self.by

    def require_allowed(self) -> None:
        """Refuse what is not for everybody.

        Raises:
            PolicyError: it is for everybody, and they are not staff who may publish; or another
                service keeps templates.
        """
        require_kept_here()
        if self.visibility is Visibility.PUBLIC:
            told = "Only staff publish templates for everybody. Publish it as private."
            require(self.by, PUBLISH, otherwise=told)


def publish_version(
    *,
    place: Place,
    content: bytes,
    media_type: str = "",
    changelog: str = "",
    tags: Sequence[str] | None = None,
) -> TemplateVersion:
    """Publish an Agent File as a version of the template that it names.

    Args:
        media_type: a Content-Type, where there is one.
        tags: the template's from now on; None leaves them as they are.

    Raises:
        BodyTooLarge, RequestMalformed: the file can't be read.
        FieldInvalid: it is not valid; with every fault.
        PolicyError: as ``Place.require_allowed`` says.
        ResourceConflict: the version is there already or not higher than all others, or the
            template is deprecated.
        CountExhausted: there are as many templates or versions as may be.
    """
    place.require_allowed()
    loaded = read_file(content, media_type)
    require_valid(loaded)
    with transaction.atomic():
        template = take_template(place, name_of(loaded))
        version = add_version(template, loaded, by=place.by, changelog=changelog)
        template.visibility = place.visibility
        if tags is not None:
            template.tags = list(tags)
        template.save()
        record_published(version, by=place.by, verb="publish")
    return version


def clone_template(
    *,
    by: User,
    template_id: UUID,
    version: str = LATEST,
    name: str = "",
    visibility: Visibility = Visibility.PRIVATE,
) -> TemplateVersion:
    """Publish a version that somebody sees as the first of a template of their own.

    Args:
        name: of the new template; empty: as it is. A file with another name becomes JSON.

    Raises:
        ResourceNotFound: there is no such version, or the user may not see it.
        PolicyError, FieldInvalid, CountExhausted: as ``publish_version`` does.
        ResourceConflict: there is a template of that name.
    """
    place = Place(by=by, visibility=visibility)
    place.require_allowed()
    source = visible_version(user=by, template_id=template_id, version=version)
    loaded = _renamed(source, name or source.template.name)
    require_valid(loaded)
    with transaction.atomic():
        template = take_template(place, name_of(loaded))
        if template.versions.exists():
            raise ResourceConflict(
                f"There is a template {template.name} already. Give another name.", param="/name"
            )
        clone = add_version(template, loaded, by=by, changelog=source.changelog)
        template.visibility = place.visibility
        template.tags, template.labels = source.template.tags, source.template.labels
        template.save()
        record_published(clone, by=by, verb="clone", source=f"{template_id}:{source.version}")
    return clone


def take_template(place: Place, name: str) -> Template:
    """Return the template that is published to, locked; it is made when there is none.

    Safe when several begin the same template at once: one makes it, the others wait and find it.

    Raises:
        CountExhausted: the owner has as many as may be.
        ResourceConflict: it is deprecated.
    """
    rows = Template.objects.of(place.owner, name).select_for_update(no_key=True)
    template = rows.first()
    if template is None:
        _require_room(place.owner)
        new = Template(owner=place.owner, name=name, visibility=place.visibility)
        Template.objects.bulk_create([new], ignore_conflicts=True)
        template = rows.get()
    if template.deprecated_at:
        raise ResourceConflict(f"The template {name} is deprecated. Undeprecate it first.")
    return template


def add_version(
    template: Template, loaded: Loaded, *, by: User | None, changelog: str
) -> TemplateVersion:
    """Add a version to a locked template, which takes its description; the caller saves that.

    A release becomes the latest version. A pre-release does only where no release is the latest.

    Raises:
        ResourceConflict: it is there already, or not higher than all others.
        CountExhausted: there are as many as may be.
    """
    about = loaded.document["template"]
    version = versions.parse(about["version"])
    others = list(template.versions.without_content())
    _require_higher(version, others)
    require_room(len(others) + 1)
    latest = next((one for one in others if one.is_latest), None)
    is_latest = latest is None or not version.is_prerelease or latest.is_prerelease
    if latest is not None and is_latest:
        template.versions.filter(pk=latest.pk).update(is_latest=False)
    template.description = about.get("description", template.description)
    return TemplateVersion.objects.create(
        template=template,
        version=version.text,
        major=version.major,
        minor=version.minor,
        patch=version.patch,
        prerelease_key=version.prerelease_key,
        checksum=checksum(loaded.document),
        document=loaded.document,
        raw=loaded.text,
        format=loaded.format,
        changelog=changelog,
        is_latest=is_latest,
        created_by=by,
    )


def require_room(count: int) -> None:
    """Refuse to have so many versions of a template.

    Raises:
        CountExhausted: they are too many.
    """
    most = settings.MAX_VERSIONS_PER_TEMPLATE
    if count > most:
        raise CountExhausted(f"A template has at most {most} versions.")


def record_published(version: TemplateVersion, *, by: User | None, verb: str, **facts: Any) -> None:
    """Record that a version has come to be."""
    record_change(
        actor=by,
        action=f"template.{verb}",
        resource=f"template:{version.template_id}",
        facts={
            "name": version.template.name,
            "version": version.version,
            "checksum": version.checksum,
            "visibility": version.template.visibility,
            **facts,
        },
    )


def name_of(loaded: Loaded) -> str:
    """Return the name of the template that a valid file is of."""
    return str(loaded.document["template"]["name"])


def _require_higher(version: SemVer, others: Sequence[TemplateVersion]) -> None:
    if not others or version.precedence > others[0].precedence:
        return
    if any(version.precedence == other.precedence for other in others):
        problem = f"{version.text} is published already"
    else:
        problem = f"{version.text} is not higher than {others[0].version}"
    raise ResourceConflict(
        f"{problem}. Versions never change: give the file a higher one.",
        param=_VERSION,
        errors=[{"pointer": _VERSION, "message": problem}],
    )


def _require_room(owner: User | None) -> None:
    if owner is None:
        return
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if Template.objects.filter(owner=owner).count() >= settings.MAX_TEMPLATES_PER_USER:
        raise CountExhausted(
            f"You have {settings.MAX_TEMPLATES_PER_USER} templates, which is the limit. Delete one."
        )


def _renamed(source: TemplateVersion, name: str) -> Loaded:
    loaded = read_file(source.raw.encode(), Format(source.format).media_type)
    if name == name_of(loaded):
        return loaded
    document = {**loaded.document, "template": {**loaded.document["template"], "name": name}}
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    return Loaded(format=Format.JSON, text=text, document=document)
