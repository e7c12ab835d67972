from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import override_settings
from rest_framework.test import APIClient

from accounts.models import User
from gateway_core import context
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import FieldInvalid, RequestMalformed
from templates_app import bundles
from templates_app.agent_file.unreadable import Unreadable
from templates_app.models import Template, TemplateVersion
from templates_app.parsers import json_of
from templates_app.services import (
    Bundle,
    Place,
    deprecate_version,
    export_template,
    import_bundle,
    make_latest,
    publish_version,
    update_template,
)
from tests.memory import most_bytes
from tests.templates_app.conftest import exported, faults, publish
from tests.templates_app.files import agent_file, as_json

IMPORT = "/api/v1/templates/import"


def send(client: APIClient, bundle: Any, query: str = "") -> Any:
    return client.post(IMPORT + query, json.dumps(bundle), content_type="application/json")


@pytest.fixture
def bundle(alice: User) -> Bundle:
    """Three versions in either form; the second is the latest, the first deprecated."""
    text = "# Mine.\n" + yaml.safe_dump(agent_file(version="1.0.0"))
    place = Place(by=alice)
    row = publish_version(place=place, content=text.encode(), changelog="First.", tags=["a"])
    publish(alice, "1.1.0")
    publish(alice, "1.2.0")
    template_id = row.template_id
    update_template(by=alice, template_id=template_id, traits={"labels": {"b": "c"}})
    deprecate_version(by=alice, template_id=template_id, version="1.0.0")
    make_latest(by=alice, template_id=template_id, version="1.1.0")
    return exported(Template.objects.get())


def test_exports_every_version_as_it_was_published(as_alice: APIClient, bundle: Bundle) -> None:
    answer = as_alice.get(f"/api/v1/templates/{Template.objects.get().pk}/export")

    assert answer["content-type"] == "application/json"
    assert answer["content-disposition"] == 'attachment; filename="helper.template.json"'
    assert bundle["template"] == {
        "name": "helper",
        "description": "Answers questions.",
        "tags": ["a"],
        "labels": {"b": "c"},
    }
    assert [one["version"] for one in bundle["versions"]] == ["1.0.0", "1.1.0", "1.2.0"]
    assert bundle["versions"][0]["file"].startswith("# Mine.\n")
    assert [one["is_latest"] for one in bundle["versions"]] == [False, True, False]
    assert [one["is_deprecated"] for one in bundle["versions"]] == [True, False, False]


def test_needs_no_more_memory_for_many_versions_than_for_few(alice: User) -> None:
    layout = {"blocks": [{"label": f"b{number}", "value": "x" * 50_000} for number in range(4)]}

    def memory_with(*, versions: range) -> int:
        for minor in versions:
            template = publish(alice, f"1.{minor}.0", memory_layout=layout).template
        exported = sum(map(len, export_template(template)))
        assert exported > versions.stop * 200_000
        return most_bytes(lambda: sum(map(len, export_template(template))))

    few = memory_with(versions=range(2))
    assert memory_with(versions=range(2, 10)) < few + 200_000


def test_imports_what_was_exported(as_bob: APIClient, bob: User, bundle: Bundle) -> None:
    answer = send(as_bob, bundle)

    template = Template.objects.get(owner=bob)
    assert answer.status_code == 200
    assert answer.json() == {
        "template_id": str(template.pk),
        "added": ["1.0.0", "1.1.0", "1.2.0"],
        "unchanged": [],
    }
    assert exported(template) == bundle
    event = AuditEvent.objects.get(action="template.import")
    assert (event.user_id, event.facts["added"]) == (bob.pk, ["1.0.0", "1.1.0", "1.2.0"])


def test_refuses_a_bundle_that_would_take_long_before_it_is_parsed(as_bob: APIClient) -> None:
    body = b'{"versions": [' + b"{}," * (2**23 // 3 - 10) + b"{}]}"
    begun = time.thread_time()
    with pytest.raises(RequestMalformed, match="objects and lists"):
        json_of(body)
    assert time.thread_time() - begun < 1
    answer = as_bob.post(IMPORT, body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "caller_request_malformed")


def test_takes_a_bundle_of_as_many_values_as_files_may_have() -> None:
    file = json.dumps({"labels": [{"a": '"[{,'}] * 9_000})
    bundle = {"versions": [{"file": file}] * 40}
    body = json.dumps(bundle).encode()
    assert 7 * 2**20 < len(body) < 2**23
    assert json_of(body) == bundle


def test_imports_nothing_twice(as_alice: APIClient, bundle: Bundle) -> None:
    versions = list(TemplateVersion.objects.values())
    answer = send(as_alice, bundle)

    assert answer.json()["added"] == []
    assert answer.json()["unchanged"] == ["1.0.0", "1.1.0", "1.2.0"]
    assert list(TemplateVersion.objects.values()) == versions


def test_adds_what_is_new_to_a_template_that_is_there(
    as_bob: APIClient, bob: User, bundle: Bundle
) -> None:
    older = copy.deepcopy(bundle)
    del older["versions"][1:]
    older["versions"][0]["is_deprecated"] = False
    send(as_bob, older)
    answer = send(as_bob, bundle)

    assert answer.json()["added"] == ["1.1.0", "1.2.0"]
    assert answer.json()["unchanged"] == ["1.0.0"]
    assert TemplateVersion.objects.get(template__owner=bob, is_latest=True).version == "1.2.0"


def test_takes_versions_in_any_order(as_bob: APIClient, bundle: Bundle) -> None:
    bundle["versions"].reverse()

    assert send(as_bob, bundle).json()["added"] == ["1.0.0", "1.1.0", "1.2.0"]


def test_overwrites_no_version_that_is_there(as_bob: APIClient, bob: User, bundle: Bundle) -> None:
    publish(bob, "1.1.0", tools=[])
    before = list(TemplateVersion.objects.values())
    answer = send(as_bob, bundle)

    assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")
    assert list(TemplateVersion.objects.values()) == before


def test_puts_no_version_below_the_highest(as_bob: APIClient, bob: User, bundle: Bundle) -> None:
    publish(bob, "1.1.5")

    assert send(as_bob, bundle).status_code == 409
    assert Template.objects.get(owner=bob).versions.count() == 1


def test_chooses_a_latest_version_where_a_bundle_names_none(
    as_bob: APIClient, bob: User, bundle: Bundle
) -> None:
    for one in bundle["versions"]:
        one["is_latest"] = False
    bundle["versions"][2]["is_deprecated"] = True
    send(as_bob, bundle)

    assert TemplateVersion.objects.get(template__owner=bob, is_latest=True).version == "1.1.0"


def broken(bundle: Bundle, number: int, **change: Any) -> Any:
    document: Any = copy.deepcopy(bundle)
    document["versions"][number] |= change
    return document


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"file": as_json(agent_file(engine={})).decode()}, "/versions/1/file"),
        ({"file": "a: &b 1", "format": "yaml"}, "/versions/1/file"),
        ({"file": as_json(agent_file("other", "1.1.0")).decode()}, "/versions/1/file"),
        ({"version": "1.1.1"}, "/versions/1/version"),
        ({"version": "1.0.0"}, "/versions"),
        ({"checksum": "0" * 64}, "/versions/1/checksum"),
        ({"is_deprecated": True}, "/versions/1/is_latest"),
        ({"format": "xml"}, "/versions/1/format"),
        ({"owner": "me"}, "/versions/1/owner"),
        ({"file": "\ud800"}, "/versions/1/file"),
    ],
)
def test_says_what_is_wrong_in_a_bundle(
    change: Any, pointer: str, as_bob: APIClient, bundle: Bundle
) -> None:
    answer = send(as_bob, broken(bundle, 1, **change))

    assert answer.status_code == 422
    assert pointer in faults(answer)
    assert Template.objects.count() == 1


def test_wants_one_latest_version(as_bob: APIClient, bundle: Bundle) -> None:
    assert "/versions" in faults(send(as_bob, broken(bundle, 2, is_latest=True)))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"bundle_version": NaN}', 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"bundle_version": "2.0"}', 422),
        (b'{"bundle_version": "1.0", "template": {"name": "a"}, "versions": []}', 422),
    ],
)
def test_refuses_what_is_no_bundle(body: bytes, status: int, as_alice: APIClient) -> None:
    answer = as_alice.post(IMPORT, body, content_type="application/json")

    assert answer.status_code == status


@override_settings(MAX_BUNDLE_BYTES=1000)
def test_refuses_a_bundle_that_is_too_large(as_bob: APIClient, bundle: Bundle) -> None:
    assert send(as_bob, bundle).json()["code"] == "caller_body_too_large"


@override_settings(MAX_VERSIONS_PER_TEMPLATE=2)
def test_looks_at_no_version_of_more_than_there_may_be(as_bob: APIClient, bundle: Bundle) -> None:
    broken: Any = copy.deepcopy(bundle)
    broken["versions"][0]["file"] = "no Agent File"

    answer = send(as_bob, broken)

    assert (answer.status_code, answer.json()["code"]) == (429, "quota_count_exhausted")


def test_looks_at_files_for_seconds_only(
    as_bob: APIClient, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "_MOST_SECONDS", -1.0)
    answer = send(as_bob, bundle)

    assert answer.status_code == 422
    assert faults(answer) == {
        "/versions/0": "can't be looked at in time. Bring in fewer versions at once"
    }


@pytest.mark.django_db(transaction=True)
def test_needs_no_connection_while_files_are_looked_at(
    bob: User, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = context.current.get()
    is_connected: list[bool] = []

    def look(*_: Any, **__: Any) -> Any:
        is_connected.append(connection.connection is not None)
        raise Unreadable("It is enough.")

    monkeypatch.setattr(bundles, "load", look)
    context.begin({"headers": [], "path": IMPORT, "client": None})
    try:
        with pytest.raises(FieldInvalid):
            import_bundle(place=Place(by=bob), bundle=bundle)
    finally:
        context.current.set(before)
    assert is_connected == [False] * 3


def test_lets_only_staff_import_for_everybody(
    as_bob: APIClient, as_staff: APIClient, bundle: Bundle
) -> None:
    assert send(as_bob, bundle, "?visibility=public").status_code == 403
    assert send(as_staff, bundle, "?visibility=public").status_code == 200
    assert Template.objects.get(owner=None).visibility == "public"
