"""The proxied routes and the error envelope in the OpenAPI document.

Bodies and answers of proxied operations are the upstreams' own, which their SDKs describe: here
they are any object.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway_core.errors import Code
from gateway_core.idempotency.keys import HEADER, LONGEST_KEY
from gateway_core.problem import MEDIA_TYPE
from gateway_core.proxy.operations import BodyKind
from gateway_project.openapi_errors import errors_of
from gateway_project.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway_core.proxy.operations import Operation
    from gateway_project.routes import Mount

_TAGS: Final = {
    **{mount.route.name: mount.about for mount in ROUTES},
    "keys": "The signed-in user's API keys, for servers and scripts.",
    "me": "The signed-in user.",
    "templates": "What agents are made from: immutable versions of Agent Files.",
    "agent management": "One's own agents: made from templates, suspended, cloned, exported.",
    "agent management, older calls": "Those of the first agent management service.",
    "migrations of fleets": "All agents of a template brought to a version, by staff.",
    "system": "The gateway itself.",
}
_SCHEMES: Final = {
    "agent": {"type": "http", "scheme": "bearer", "description": "An agent secret."},
    "api_key": {"type": "http", "scheme": "bearer", "description": "An API key, gwk_…."},
}
_UNNAMEABLE: Final = str.maketrans(".-/", "___")
_PARAMETERS: Final = re.compile(r"\{(\w+)\}").findall
_MEDIA: Final = {BodyKind.JSON: "application/json", BodyKind.FORM: "multipart/form-data"}
_ANY_OBJECT: Final = {"schema": {"type": "object"}}
_KEY: Final[dict[str, Any]] = {
    "name": HEADER,
    "in": "header",
    "description": "Do this once, however often it is sent with the key. Not with streams.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}
# What SDKs read beside the body of an error.
_HEADERS: Final = {
    "X-Request-Id": {
        "description": "What the request is called in logs and in the audit trail.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which to repeat the request, where that is known.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit-Policy": {
        "description": 'Which limit counts, as in "llm";q=100;w=60: 100 at once, anew after 60 s.',
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": 'What is left of it, as in "llm";r=0;t=12: none, and more in 12 s.',
        "schema": {"type": "string"},
    },
}


def add_proxied_routes(
    result: dict[str, Any],
    generator: Any,  # noqa: ARG001 - drf-spectacular passes these by name
    request: Any,  # noqa: ARG001
    public: Any,  # noqa: ARG001
) -> dict[str, Any]:
    """Add what drf-spectacular can't see; it calls this at the end."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(Problem=_problem_schema(), Code=_code_schema())
    components.setdefault("responses", {})["Problem"] = {
        "description": "What went wrong, whose fault it is, and whether to repeat.",
        "headers": _HEADERS,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            errors = errors_of(path, method, operation, is_proxied=False)
            operation["responses"] = {**operation["responses"], **errors}
            if method == "post":
                operation["parameters"] = [*operation.get("parameters", ()), _KEY]
    components.setdefault("securitySchemes", {}).update(_SCHEMES)
    for mount in ROUTES:
        for path, method, operation in _described(mount):
            result["paths"].setdefault(path, {})[method] = operation
    result["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    return result


def _described(mount: Mount) -> Iterator[tuple[str, str, dict[str, Any]]]:
    prefix = min(mount.route.prefixes, key=len)
    for operation in mount.route.catalogue.operations:
        if not getattr(operation, "why_not", ""):
            path, method = prefix + operation.path, operation.method.lower()
            described = _describe(mount, operation)
            described["responses"] |= errors_of(path, method, described, is_proxied=True)
            yield path, method, described


def _describe(mount: Mount, operation: Operation) -> dict[str, Any]:
    name = f"{mount.route.name}_{operation.name}"
    described: dict[str, Any] = {
        # Generators make function names of them.
        "operationId": name.translate(_UNNAMEABLE),
        "summary": operation.summary or operation.name.replace("_", " ").capitalize(),
        "tags": [mount.route.name],
        "security": list(mount.security),
        "responses": _answers(operation),
    }
    parameters = [*_path_parameters(operation), *_query_parameters(operation)]
    if mount.route.once and operation.method == "POST" and operation.body is not BodyKind.FORM:
        parameters.append(_KEY)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not BodyKind.NONE:
        described["requestBody"] = {"content": {_MEDIA[operation.body]: _ANY_OBJECT}}
    return described


def _path_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in _PARAMETERS(operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in sorted(getattr(operation, "query", ())):
        yield {"name": name, "in": "query", "schema": {}}


def _answers(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {}}}
    if operation.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    answers = {"200": {"description": "The upstream's answer.", "content": content}}
    if operation.method == "DELETE":
        answers["204"] = {"description": "It is gone, and nothing to be said of it."}
    return answers


def _code_schema() -> dict[str, Any]:
    return {
        "type": "string",
        "description": "Whose fault it is: caller, policy, quota, upstream or gateway.",
        "enum": [code.value for code in Code],
    }


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    code = {"$ref": "#/components/schemas/Code"}
    return {
        "type": "object",
        "description": "RFC 9457, with an OpenAI-style error object for SDKs.",
        "properties": {
            "type": {**text, "format": "uri"},
            "title": text,
            "status": {"type": "integer"},
            "detail": {**text, "description": "What happened and what to do about it."},
            "code": code,
            "request_id": text,
            "retryable": {"type": "boolean"},
            "error": {
                "type": "object",
                "properties": {
                    "message": text,
                    "type": text,
                    "code": code,
                    "param": {"type": ["string", "null"]},
                },
                "required": ["message", "type", "code", "param"],
            },
            "errors": {
                "type": "array",
                "description": "Each fault, when a body has several.",
                "items": {
                    "type": "object",
                    "properties": {"pointer": text, "message": text},
                    "required": ["pointer", "message"],
                },
            },
        },
        "required": [
            "type",
            "title",
            "status",
            "detail",
            "code",
            "request_id",
            "retryable",
            "error",
        ],
    }
