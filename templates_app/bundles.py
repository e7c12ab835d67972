"""A template with all its versions in one JSON document, to be kept or taken elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from gateway_core.audit.services import record_change
from gateway_core.errors import ResourceConflict
from gateway_core.pooled import give_back_connection
from templates_app.agent_file import versions
from templates_app.agent_file.canonical import checksum
from templates_app.agent_file.faults import Fault
from templates_app.agent_file.loading import Format, load
from templates_app.agent_file.unreadable import Unreadable
from templates_app.agent_file.validation import validate
from templates_app.publishing import add_version, require_room, take_template
from templates_app.reading import faults_found
from templates_app.upkeep import choose_latest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accounts.models import User
    from templates_app.agent_file.loading import Loaded
    from templates_app.models import Template, TemplateVersion
    from templates_app.publishing import Place

BUNDLE_VERSION: Final = "1.0"
# CPU time for all files of a bundle. One that is made for use takes a hundredth of a second, one
# that is made to take long half of one.
_MOST_SECONDS: Final = 3.0


class BundledTemplate(TypedDict):
    """What a bundle says of the template."""

    name: str
    description: str
    tags: list[str]
    labels: dict[str, str]


class BundledVersion(TypedDict):
    """What a bundle says of one version; ``file`` is the Agent File as it was published."""

    version: str
    checksum: str
    format: str
    file: str
    changelog: str
    is_latest: bool
    is_deprecated: bool


class Bundle(TypedDict):
    """The document."""

    bundle_version: str
    template: BundledTemplate
    versions: list[BundledVersion]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has brought.

    Attributes:
        added, unchanged: texts of versions, the lowest first.
    """

    template: Template
    added: tuple[str, ...]
    unchanged: tuple[str, ...]


def export_template(template: Template) -> Iterator[bytes]:
    """Yield a template as a bundle in JSON, the lowest version first.

    Its files together may be of many megabytes: one at a time is in memory.
    """
    rows = list(template.versions.without_content())  # as they are now, the highest first
    about: BundledTemplate = {
        "name": template.name,
        "description": template.description,
        "tags": template.tags,
        "labels": template.labels,
    }
    head = orjson.dumps({"bundle_version": BUNDLE_VERSION, "template": about})
    yield head.removesuffix(b"}") + b',"versions":['
    while rows:
        version = orjson.dumps(_bundled(rows.pop()))  # which fetches its file
        yield version + (b"," if rows else b"")
    yield b"]}"


def import_bundle(*, place: Place, bundle: Bundle) -> Imported:
    """Bring in a bundle. To a template that is there, only versions that it lacks are added.

    Raises:
        FieldInvalid: a file in it is not valid, or not what the bundle says of it; every fault.
        PolicyError: as ``Place.require_allowed`` says.
        ResourceConflict: a version is there with other content, or is not higher than all that are
            there, or the template is deprecated.
        CountExhausted: there are as many templates or versions as may be.
    """
    place.require_allowed()
    require_room(len(bundle["versions"]))  # before all of them are looked at
    files = _read(bundle)
    with transaction.atomic():
        template = take_template(place, bundle["template"]["name"])
        there = dict(template.versions.values_list("version", "checksum"))
        template.visibility = place.visibility
        added = [
            add_version(template, file, by=place.by, changelog=item["changelog"])
            for item, file in files
            if not _is_there(item, file, there)
        ]
        if not there:
            _describe(template, bundle)
        template.save()
        imported = Imported(
            template,
            added=tuple(row.version for row in added),
            unchanged=tuple(item["version"] for item, _ in files if item["version"] in there),
        )
        _record(imported, place.by)
    return imported


def _bundled(row: TemplateVersion) -> BundledVersion:
    return {
        "version": row.version,
        "checksum": row.checksum,
        "format": row.format,
        "file": row.raw,
        "changelog": row.changelog,
        "is_latest": row.is_latest,
        "is_deprecated": row.deprecated_at is not None,
    }


def _read(bundle: Bundle) -> list[tuple[BundledVersion, Loaded]]:
    """Return the versions of a bundle with their files, the lowest first."""
    give_back_connection()
    files: list[tuple[BundledVersion, Loaded]] = []
    faults: list[Fault] = []
    until = time.thread_time() + _MOST_SECONDS
    for index, item in enumerate(bundle["versions"]):
        at = f"/versions/{index}"
        if time.thread_time() > until:
            faults.append(Fault(at, "can't be looked at in time. Bring in fewer versions at once"))
            break
        try:
            loaded = load(
                item["file"].encode(),
                max_bytes=settings.MAX_TEMPLATE_BYTES,
                media_type=Format(item["format"]).media_type,
            )
        except Unreadable as exc:
            faults.append(Fault(f"{at}/file", f"can't be read. {exc.message}"))
            continue
        faults.extend(_faults(item, loaded, bundle["template"]["name"], at))
        files.append((item, loaded))
    faults.extend(_faults_together(bundle["versions"]))
    if faults:
        raise faults_found(faults)
    return sorted(files, key=lambda pair: versions.parse(pair[0]["version"]).precedence)


def _faults(item: BundledVersion, loaded: Loaded, name: str, at: str) -> Iterator[Fault]:
    report = validate(loaded.document)
    for fault in report.faults:
        yield Fault(f"{at}/file", f"is not valid: {fault.pointer} {fault.message}")
    if report.faults:
        return
    about = loaded.document["template"]
    if about["name"] != name:
        yield Fault(f"{at}/file", "is of another template")
    if about["version"] != item["version"]:
        yield Fault(f"{at}/version", "is not the one in its file")
    if checksum(loaded.document) != item["checksum"]:
        yield Fault(f"{at}/checksum", "is not that of its file")
    if item["is_latest"] and item["is_deprecated"]:
        yield Fault(f"{at}/is_latest", "can't be true of a deprecated version")


def _faults_together(items: Sequence[BundledVersion]) -> Iterator[Fault]:
    if sum(item["is_latest"] for item in items) > 1:
        yield Fault("/versions", "must have one latest version at most")
    if len({item["version"] for item in items}) < len(items):
        yield Fault("/versions", "must not have a version twice")


def _is_there(item: BundledVersion, file: Loaded, there: dict[str, str]) -> bool:
    version = item["version"]
    if version not in there:
        return False
    if there[version] != checksum(file.document):
        raise ResourceConflict(f"{version} is there already, with other content.")
    return True


def _describe(template: Template, bundle: Bundle) -> None:
    """Have a new template look as the bundled one did."""
    about = bundle["template"]
    template.description = about["description"]
    template.tags, template.labels = about["tags"], about["labels"]
    rows = template.versions
    latest = [item["version"] for item in bundle["versions"] if item["is_latest"]]
    deprecated = [item["version"] for item in bundle["versions"] if item["is_deprecated"]]
    rows.filter(is_latest=True).update(is_latest=False)
    rows.filter(version__in=deprecated).update(deprecated_at=timezone.now())
    if not rows.filter(version__in=latest).update(is_latest=True):
        choose_latest(template)


def _record(imported: Imported, by: User | None) -> None:
    template = imported.template
    facts: dict[str, Any] = {"name": template.name, "added": imported.added}
    record_change(
        actor=by, action="template.import", resource=f"template:{template.pk}", facts=facts
    )
