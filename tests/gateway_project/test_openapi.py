from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from drf_spectacular.validation import validate_schema

from gateway_core.errors import Code
from gateway_project.routes import ROUTES, Mount

_COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("openapi") / "openapi.yaml"
    call_command("spectacular", file=str(path), fail_on_warn=True)
    return dict(yaml.safe_load(path.read_text("utf-8")))


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for methods in document["paths"].values() for one in methods.values()]


def test_is_a_valid_document(document: dict[str, Any]) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]


def test_is_the_one_that_is_committed(document: dict[str, Any]) -> None:
    committed = yaml.safe_load(_COMMITTED.read_text("utf-8"))

    assert committed == document, "run: python manage.py spectacular --file docs/openapi.yaml"


@pytest.mark.parametrize("mount", ROUTES, ids=lambda mount: mount.route.name)
def test_describes_every_operation_that_is_offered(document: dict[str, Any], mount: Mount) -> None:
    described = {
        (method.upper(), path.removeprefix(f"/api/v1/{mount.route.name}"))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] == [mount.route.name]
    }

    assert described == {
        (operation.method, operation.path)
        for operation in mount.route.catalogue.operations
        if not getattr(operation, "why_not", "")
    }


def test_names_each_operation_once(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in _operations(document)]

    assert len(names) == len(set(names))


def test_says_in_one_schema_how_errors_look(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert schemas["Problem"]["properties"]["code"] == {"$ref": "#/components/schemas/Code"}
    assert schemas["Code"]["enum"] == [code.value for code in Code]
    for operation in _operations(document):
        assert "4XX" not in operation["responses"], "name those that there are"
        for status in ("400", "429", "5XX"):
            assert operation["responses"][status] == {"$ref": "#/components/responses/Problem"}


@pytest.mark.parametrize(
    ("path", "method", "errors"),
    [
        ("/api/v1/system/health", "get", {400, 429}),
        ("/api/v1/me", "get", {400, 401, 403, 429}),
        ("/api/v1/agents/{id}", "get", {400, 401, 403, 404, 423, 429}),
        ("/api/v1/agents/{id}", "delete", {400, 401, 403, 404, 409, 412, 422, 423, 429}),
        ("/api/v1/llm/models", "get", {400, 401, 403, 404, 408, 409, 413, 422, 429}),
    ],
)
def test_names_the_errors_of_each_operation(
    document: dict[str, Any], path: str, method: str, errors: set[int]
) -> None:
    named = document["paths"][path][method]["responses"]

    assert {int(one) for one in named if one.startswith("4") and one.isdigit()} == errors


def test_wants_a_credential_for_everything_that_is_proxied(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    for mount in ROUTES:
        described = [one for one in _operations(document) if one["tags"] == [mount.route.name]]
        assert described
        for operation in described:
            assert operation["security"] == list(mount.security)
            assert all(name in schemes for way in operation["security"] for name in way)


def test_names_the_parameters_of_each_path(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_names_the_key_where_requests_are_done_once(document: dict[str, Any]) -> None:
    taking = {
        (path, method)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ()))
    }

    assert ("/api/v1/llm/keys", "post") in taking
    assert ("/api/v1/letta/agents/{agent_id}/messages", "post") in taking
    assert ("/api/v1/letta/folders/{folder_id}/upload", "post") not in taking
    assert ("/api/v1/llm/chat/completions", "post") not in taking
    assert {method for _, method in taking} == {"post"}


def test_explains_each_tag_that_it_uses(document: dict[str, Any]) -> None:
    used = {tag for operation in _operations(document) for tag in operation["tags"]}

    assert used <= {tag["name"] for tag in document["tags"]}
