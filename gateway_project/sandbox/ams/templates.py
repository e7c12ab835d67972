"""Templates: published as Agent Files, shown with their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.ams.calls import ProblemError, caller_of, require_new, state_of
from gateway_project.sandbox.ams.state import Row, State, now
from templates_app.agent_file import versions
from templates_app.agent_file.canonical import checksum
from templates_app.agent_file.loading import Loaded, load
from templates_app.agent_file.unreadable import TooLarge, Unreadable
from templates_app.agent_file.validation import validate

if TYPE_CHECKING:
    from starlette.requests import Request

_MAX_BYTES: Final = 256 * 1024


async def look_at(request: Request) -> Response:
    """Say what is wrong with a file."""
    caller_of(request)
    loaded = await _loaded(request)
    errors = [fault.as_dict() for fault in validate(loaded.document).faults]
    validation = {"valid": not errors, "errors": errors}
    return JSONResponse({"format": loaded.format.value, "validation": validation})


async def publish(request: Request) -> Response:
    """Add a version to the caller's template that the file names."""
    user_id, loaded = caller_of(request), await _loaded(request)
    faults = validate(loaded.document).faults
    if faults:
        errors = [fault.as_dict() for fault in faults]
        raise ProblemError(422, "validation_failed", "Not an Agent File", errors=errors)
    document = loaded.document
    template = state_of(request).template_of(user_id, document["template"]["name"])
    version = str(document["template"]["version"])
    if template["latest"] and not is_higher(version, template["latest"]):
        raise ProblemError(409, "version_exists", "The version is not higher than the latest")
    row = {
        "version": version,
        "checksum": checksum(document),
        "agent_file": document,
        "deprecated_at": None,
        "created_at": now(),
    }
    template["versions"][version], template["latest"] = row, version
    told = {"template_id": template["id"], "version": version, "checksum": row["checksum"]}
    return JSONResponse({**told, "is_latest": True}, 201)


async def retrieve(request: Request) -> Response:
    """Describe a template."""
    require_new(request)
    row = visible(state_of(request), caller_of(request), request.path_params["template_id"])
    return JSONResponse(
        {"id": row["id"], "name": row["name"], "latest_version": row["latest"] or None}
    )


async def retrieve_version(request: Request) -> Response:
    """Return a version with its file."""
    require_new(request)
    row = visible(state_of(request), caller_of(request), request.path_params["template_id"])
    return JSONResponse(version_of(row, request.path_params["version"]))


def visible(state: State, user_id: str, template_id: str) -> Row:
    """Return a template.

    Raises:
        ProblemError: 404, there is none, or it is another user's.
    """
    row = state.templates.get(template_id)
    if row is None or row["owner"] != user_id:
        raise ProblemError(404, "not_found", "There is no such template")
    return row


def version_of(template: Row, version: str) -> Any:
    """Return a version of a template.

    Raises:
        ProblemError: 404, there is none.
    """
    row = template["versions"].get(version)
    if row is None:
        raise ProblemError(404, "not_found", "There is no such version")
    return row


async def _loaded(request: Request) -> Loaded:
    try:
        return load(
            await request.body(),
            max_bytes=_MAX_BYTES,
            media_type=request.headers.get("content-type", ""),
        )
    except (TooLarge, Unreadable) as exc:
        raise ProblemError(400, "malformed", exc.message) from exc


def is_higher(version: str, other: str) -> bool:
    """Say which of two versions is higher."""
    return versions.parse(version).precedence > versions.parse(other).precedence


ROUTES: Final = [
    Route("/templates/validate", look_at, methods=["POST"]),
    Route("/templates/publish", publish, methods=["POST"]),
    Route("/templates/{template_id}", retrieve),
    Route("/templates/{template_id}/versions/{version}", retrieve_version),
]
