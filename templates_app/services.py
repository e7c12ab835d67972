"""What other apps, the API, the admin and commands do with templates.

Everything that changes something is on the audit trail, in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_core.errors import UpstreamAnswerInvalid
from templates_app.agent_file.bounds import refuse_unwieldy
from templates_app.agent_file.faults import FaultsFound
from templates_app.agent_file.filling import Filled, fill
from templates_app.agent_file.unreadable import Unreadable
from templates_app.agent_file.validation import Report, validate
from templates_app.agent_file.variables import names as variable_names
from templates_app.agent_file.variables import secret_names
from templates_app.agent_file.versions import parse as parse_version
from templates_app.agent_file.ways import ways_from
from templates_app.bundles import Bundle, Imported, export_template, import_bundle
from templates_app.elsewhere import register_keeper
from templates_app.lookup import (
    LATEST,
    NO_TEMPLATE,
    any_version,
    resolve_version,
    visible_template,
    visible_version,
)
from templates_app.models import TemplateVersion
from templates_app.publishing import Place, clone_template, publish_version
from templates_app.reading import faults_found, read_file
from templates_app.upkeep import (
    Traits,
    delete_template,
    deprecate_template,
    deprecate_version,
    make_latest,
    undeprecate_template,
    undeprecate_version,
    update_template,
)
from templates_app.usage import in_use, register_use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from templates_app.agent_file.loading import Format

__all__ = (
    "LATEST",
    "NO_TEMPLATE",
    "Bundle",
    "Filled",
    "Imported",
    "Place",
    "TemplateVersion",
    "Traits",
    "any_version",
    "clone_template",
    "delete_template",
    "deprecate_template",
    "deprecate_version",
    "export_template",
    "fill_document",
    "fill_version",
    "import_bundle",
    "in_use",
    "make_latest",
    "parse_version",
    "publish_version",
    "register_keeper",
    "register_use",
    "resolve_version",
    "secret_names",
    "undeprecate_template",
    "undeprecate_version",
    "update_template",
    "validate_file",
    "variable_names",
    "visible_template",
    "visible_version",
    "ways_from",
)


def validate_file(content: bytes, media_type: str = "") -> tuple[Format, Report]:
    """Return how a file is written, and everything that is wrong with it.

    Raises:
        BodyTooLarge, RequestMalformed: it can't be read.
    """
    loaded = read_file(content, media_type)
    return loaded.format, validate(loaded.document)


def fill_version(
    version: TemplateVersion, variables: Mapping[str, Any], *, at: str = "/variables"
) -> Filled:
    """Return the Agent File of a version with its variables put in, secret ones in clear.

    Args:
        at: where the variables stand in the caller's body.

    Raises:
        FieldInvalid: some are missing, unknown or don't fit; with the pointer of each.
    """
    return _filled(version.document, variables, at)


def fill_document(document: Any, variables: Mapping[str, Any], *, at: str = "/variables") -> Filled:
    """Return an Agent File that another service keeps with its variables put in.

    Raises:
        UpstreamAnswerInvalid: it is none.
        FieldInvalid: as ``fill_version`` does.
    """
    try:
        refuse_unwieldy(document)
    except Unreadable as exc:
        raise UpstreamAnswerInvalid from exc
    if not validate(document).is_valid:  # its schema could ask other servers, or take forever
        raise UpstreamAnswerInvalid
    return _filled(document, variables, at)


def _filled(document: dict[str, Any], variables: Mapping[str, Any], at: str) -> Filled:
    try:
        return fill(document, variables, at=at)
    except FaultsFound as exc:
        raise faults_found(exc.faults) from exc
