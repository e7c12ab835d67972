"""What an upstream documents beside what the gateway knows of it."""

from __future__ import annotations

import copy
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.models import User
from gateway_project.models import UpstreamOperation
from gateway_project.sentinel import known as known_module
from gateway_project.sentinel.documents import describe
from gateway_project.sentinel.known import DOCUMENTED_SERVICES, DocumentedService, known_of
from gateway_project.sentinel.watch import DocumentUnavailable, compare, live_document
from letta_proxy.catalogue import CATALOGUE
from llm_proxy.operations import OPERATIONS
from tests.conftest import Running

State = UpstreamOperation.State
LETTA, LITELLM = DOCUMENTED_SERVICES

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Letta API", "version": "9"},
    "paths": {
        "/v1/things/": {
            "get": {
                "parameters": [
                    {"name": "after", "in": "query", "schema": {"type": "string"}},
                    {"name": "thing_id", "in": "query", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"description": "Things."}},
            },
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}
                    }
                },
                "responses": {"200": {"description": "A thing."}},
            },
        }
    },
    "components": {
        "schemas": {
            "Thing": {
                "properties": {
                    "part_ids": {"type": "array", "items": {"type": "string"}},
                    "within": {"$ref": "#/components/schemas/Thing"},
                    "parts": {"items": {"$ref": "#/components/schemas/Part"}, "type": "array"},
                }
            },
            "Part": {"properties": {"id": {"type": "string", "description": "Its id."}}},
        }
    },
}
NAMES = {"GET /v1/things/", "POST /v1/things/"}


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DocumentedService:
    """Letta with a file of its own, in which nothing but DOCUMENT is known."""
    made = DocumentedService(
        name="letta",
        title="Letta",
        url_setting="LETTA_BASE_URL",
        key_setting="LETTA_API_KEY",
        file=tmp_path / "documented.json",
    )
    known_module.keep(made, DOCUMENT)
    for module in ("known", "watch"):
        monkeypatch.setattr(f"gateway_project.sentinel.{module}.DOCUMENTED_SERVICES", (made,))
    monkeypatch.setattr(
        "gateway_project.management.commands.check_upstreams.DOCUMENTED_SERVICES", (made,)
    )
    return made


def changed(change: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return document


def run(document: dict[str, Any], tmp_path: Path, **options: Any) -> tuple[str, bool]:
    """Return what the command printed, and whether it was content."""
    file, printed = tmp_path / "live.json", StringIO()
    file.write_text(json.dumps(document))
    try:
        call_command("check_upstreams", file=[file], stdout=printed, **options)
    except CommandError:
        return printed.getvalue(), False
    return printed.getvalue(), True


def test_finds_where_ids_can_stand() -> None:
    described = describe(DOCUMENT)

    assert described["GET /v1/things/"].ids == ("?after", "?thing_id")
    assert described["POST /v1/things/"].ids == ("/part_ids/*", "/parts/*/id")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["paths"]["/v1/things/"]["post"]["responses"].update({"201": {}}),
        lambda d: d["components"]["schemas"]["Thing"]["properties"].update({"x": {}}),
        lambda d: d["components"]["schemas"]["Part"].update({"required": ["id"]}),
        lambda d: d["components"]["schemas"]["Part"]["properties"].update({"title": {}}),
    ],
)
def test_notices_a_change_however_deep(change: Any) -> None:
    before, after = describe(DOCUMENT), describe(changed(change))

    different = {name for name in before if before[name].fingerprint != after[name].fingerprint}
    assert different == {"POST /v1/things/"}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["paths"]["/v1/things/"]["post"].update({"description": "New words."}),
        lambda d: d["components"]["schemas"]["Part"].update({"title": "A part"}),
        lambda d: d["paths"]["/v1/things/"]["get"]["parameters"].reverse(),
        lambda d: d["paths"]["/v1/things/"]["get"]["responses"].update({"422": {}}),
    ],
)
def test_takes_other_words_and_errors_for_no_change(change: Any) -> None:
    assert describe(changed(change)) == describe(DOCUMENT)


def test_names_what_is_new_gone_and_changed() -> None:
    known = {"GET /a": "1", "GET /b": "1", "GET /v1/things/": ""}

    states = compare(known, DOCUMENT)

    assert states == {
        "GET /a": State.GONE,
        "GET /b": State.GONE,
        "GET /v1/things/": State.KNOWN,  # of which only the name matters
        "POST /v1/things/": State.NEW,
    }
    assert compare({"GET /v1/things/": "1"}, DOCUMENT)["GET /v1/things/"] is State.CHANGED


def test_knows_what_the_catalogues_were_made_from() -> None:
    letta, litellm = known_of(LETTA), known_of(LITELLM)

    assert set(letta) == {f"{one.method} {one.upstream_path}" for one in CATALOGUE.operations}
    assert all(letta.values())
    called = {f"{one.method} {one.upstream_path}" for one in OPERATIONS}
    assert all(litellm[name] for name in called)
    assert sum(bool(fingerprint) for fingerprint in litellm.values()) < 40 < len(litellm)


@pytest.mark.django_db
def test_is_content_while_nothing_differs(upstream: DocumentedService, tmp_path: Path) -> None:
    printed, is_content = run(DOCUMENT, tmp_path)

    assert is_content
    assert printed == "2 known, 0 new, 0 changed, 0 gone\n"
    rows = UpstreamOperation.objects.filter(upstream=upstream.name)
    assert {(f"{row.method} {row.path}", row.state) for row in rows} == {
        (name, State.KNOWN) for name in NAMES
    }


@pytest.mark.django_db
def test_follows_an_operation_from_its_coming_to_its_going(
    upstream: DocumentedService, tmp_path: Path
) -> None:
    newer = changed(lambda d: d["paths"].update({"/v1/x": {"get": {"responses": {}}}}))
    without = changed(lambda d: d["paths"]["/v1/things/"].pop("get"))

    printed, is_content = run(newer, tmp_path)
    first = UpstreamOperation.objects.get(path="/v1/x")

    assert not is_content
    assert "letta     new       GET /v1/x" in printed
    assert (first.state, first.get_state_display()) == (
        State.NEW,
        "unclassified, therefore denied",
    )

    printed, _ = run(without, tmp_path)
    last = UpstreamOperation.objects.get(path="/v1/x")

    assert "letta     gone      GET /v1/things/" in printed
    assert (last.state, last.first_seen, last.last_seen) == (
        State.GONE,
        first.first_seen,
        first.last_seen,
    )
    things = UpstreamOperation.objects.get(path="/v1/things/", method="GET")
    assert things.state == State.GONE
    assert things.last_seen is not None
    assert upstream.name == things.upstream


@pytest.mark.django_db
def test_stores_nothing_on_a_dry_run(upstream: DocumentedService, tmp_path: Path) -> None:
    del upstream

    assert run(DOCUMENT, tmp_path, dry_run=True)[1]
    assert not UpstreamOperation.objects.exists()


@pytest.mark.django_db
def test_takes_as_known_what_a_developer_accepts(
    upstream: DocumentedService, tmp_path: Path
) -> None:
    newer = changed(lambda d: d["paths"].update({"/v1/x": {"get": {"responses": {}}}}))

    assert run(newer, tmp_path, accept=True)[1]
    assert set(known_of(upstream)) == {*NAMES, "GET /v1/x"}
    assert run(newer, tmp_path)[1]


@pytest.mark.django_db
def test_asks_the_upstream_itself_with_the_credential_that_it_wants(
    upstream: DocumentedService, letta: Running, settings: Any
) -> None:
    settings.LETTA_BASE_URL = letta.url
    printed = StringIO()

    with pytest.raises(CommandError, match="are not what"):
        call_command("check_upstreams", stdout=printed)

    assert printed.getvalue().endswith("0 known, 0 new, 0 changed, 2 gone\n")
    settings.LETTA_API_KEY = "wrong"
    with pytest.raises(DocumentUnavailable, match=f"{letta.url}/openapi.json is 401"):
        live_document(upstream)


def test_says_what_it_can_not_read(tmp_path: Path, settings: Any) -> None:
    for document in ({"info": {"title": "Petstore"}}, {}):
        file = tmp_path / "other.json"
        file.write_text(json.dumps(document))
        with pytest.raises(CommandError, match="of no upstream"):
            call_command("check_upstreams", file=[file], dry_run=True)
    file.write_text("no JSON")
    with pytest.raises(CommandError):
        call_command("check_upstreams", file=[file], dry_run=True)
    settings.LETTA_BASE_URL = ""
    with pytest.raises(CommandError, match="LETTA_BASE_URL is not set"):
        call_command("check_upstreams", dry_run=True)
    settings.LETTA_BASE_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="Letta"):
        call_command("check_upstreams", dry_run=True)


@pytest.mark.django_db
def test_shows_in_the_admin_what_is_denied(
    upstream: DocumentedService, tmp_path: Path, client: Client
) -> None:
    del upstream
    run(changed(lambda d: d["paths"].update({"/v1/x": {"get": {"responses": {}}}})), tmp_path)
    client.force_login(User.objects.create_superuser("root", "right-password"))

    page = client.get(reverse("admin:roof_upstreamoperation_changelist"), {"state": "new"})

    assert page.status_code == 200
    assert "/v1/x" in page.text
    assert "unclassified, therefore denied" in page.text
    assert "/v1/things/" not in page.text
    assert client.get(reverse("admin:roof_upstreamoperation_add")).status_code == 403
