"""Agent Files in a directory, as authors keep them: brought in and written out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings

from templates_app.agent_file import versions
from templates_app.agent_file.canonical import checksum
from templates_app.agent_file.loading import Format, load
from templates_app.agent_file.unreadable import Unreadable
from templates_app.agent_file.validation import validate
from templates_app.models import Template, TemplateVersion
from templates_app.publishing import publish_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from templates_app.agent_file.loading import Loaded
    from templates_app.agent_file.versions import SemVer
    from templates_app.models import TemplateQuerySet
    from templates_app.publishing import Place

_FORMATS: Final = {".yaml": Format.YAML, ".yml": Format.YAML, ".json": Format.JSON}


class DirectoryUnusable(Exception):
    """What is in a directory can't be brought in.

    Attributes:
        faults: a line for each, with the name of the file and a JSON pointer.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """A valid file of a directory."""

    path: Path
    loaded: Loaded

    @property
    def name(self) -> str:
        """Of the template that it is of."""
        return str(self.loaded.document["template"]["name"])

    @property
    def version(self) -> SemVer:
        """Which version of it."""
        return versions.parse(self.loaded.document["template"]["version"])


def read_directory(directory: Path) -> list[AgentFile]:
    """Return the Agent Files of a directory, those of one template from the lowest version up.

    Raises:
        DirectoryUnusable: there are none, or some are not valid; with every fault of each.
        OSError: it can't be read.
    """
    paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in _FORMATS)
    files: list[AgentFile] = []
    faults: list[str] = []
    for path in paths:
        try:
            files.append(_read(path))
        except DirectoryUnusable as exc:
            faults.extend(exc.faults)
    faults.extend(_twice(files))
    if faults or not files:
        raise DirectoryUnusable(faults or [f"{directory}: there is no .yaml, .yml or .json file."])
    return sorted(files, key=lambda file: (file.name, file.version.precedence))


def import_file(*, place: Place, file: AgentFile) -> bool:
    """Publish a file unless it is published already; returns whether it was published now.

    Raises:
        GatewayError: as ``publish_version`` does.
    """
    there = TemplateVersion.objects.filter(
        template__in=Template.objects.of(place.owner, file.name),
        version=file.version.text,
        checksum=checksum(file.loaded.document),
    )
    if there.exists():
        return False
    publish_version(
        place=place,
        content=file.loaded.text.encode(),
        media_type=file.loaded.format.media_type,
    )
    return True


def files_of(templates: TemplateQuerySet, *, only_latest: bool) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the Agent Files of templates, as they were published."""
    rows = TemplateVersion.objects.filter(template__in=templates).select_related("template")
    if only_latest:
        rows = rows.filter(is_latest=True)
    for row in rows.defer("document").order_by("template__name", "pk").iterator(chunk_size=50):
        yield f"{row.template.name}-{row.version}.{row.format}", row.raw.encode()


def _read(path: Path) -> AgentFile:
    try:
        loaded = load(
            path.read_bytes(),
            max_bytes=settings.MAX_TEMPLATE_BYTES,
            media_type=_FORMATS[path.suffix.lower()].media_type,
        )
    except Unreadable as exc:
        raise DirectoryUnusable([f"{path.name}: {exc.pointer} {exc.message}"]) from exc
    faults = validate(loaded.document).faults
    if faults:
        raise DirectoryUnusable(f"{path.name}: {one.pointer} {one.message}" for one in faults)
    return AgentFile(path=path, loaded=loaded)


def _twice(files: Iterable[AgentFile]) -> Iterator[str]:
    names: defaultdict[tuple[str, object], list[str]] = defaultdict(list)
    for file in files:
        names[file.name, file.version.precedence].append(file.path.name)
    for first, *others in names.values():
        for other in others:
            yield f"{other}: /template/version is the one of {first} too"
