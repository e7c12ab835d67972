from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db.models import ProtectedError
from rest_framework.test import APIClient

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import (
    FieldInvalid,
    ResourceConflict,
    ResourceNotFound,
    UpstreamAnswerInvalid,
)
from templates_app import services, usage
from templates_app.models import Template, TemplateVersion
from tests.templates_app.conftest import faults, publish
from tests.templates_app.files import agent_file


def url(template_id: UUID, path: str = "") -> str:
    return f"/api/v1/templates/{template_id}{path}"


def versions(template_id: UUID) -> dict[str, str]:
    """Return what is said about each version, by version."""
    rows = TemplateVersion.objects.filter(template=template_id)
    return {
        row.version: "latest" if row.is_latest else "deprecated" if row.deprecated_at else ""
        for row in rows
    }


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("at", "id").values_list("action", flat=True))


# -- what is said about a template
def test_changes_what_is_said_about_a_template(as_alice: APIClient, alice: User) -> None:
    template_id = publish(alice).template_id
    traits = {"description": "New.", "tags": ["b", "a", "b"], "labels": {"team": "x", "a/b": ""}}
    answer = as_alice.patch(url(template_id), traits, format="json")

    assert answer.status_code == 200
    assert answer.json()["description"] == "New."
    assert answer.json()["tags"] == ["a", "b"]
    assert answer.json()["labels"] == {"team": "x", "a/b": ""}
    event = AuditEvent.objects.get(action="template.update")
    assert (event.resource, event.facts["tags"]) == (f"template:{template_id}", ["a", "b"])


@pytest.mark.parametrize(
    ("traits", "pointer"),
    [
        ({"name": "other"}, "/name"),
        ({"owner": None}, "/owner"),
        ({"description": None}, "/description"),
        ({"description": "x" * 2001}, "/description"),
        ({"tags": "a"}, "/tags"),
        ({"tags": ["a b"]}, "/tags/0"),
        ({"tags": [1, {}]}, "/tags/1"),
        ({"tags": [f"t{number}" for number in range(21)]}, "/tags"),
        ({"labels": ["a"]}, "/labels"),
        ({"labels": {"a b": "c"}}, "/labels"),
        ({"labels": {"a\0": "c"}}, "/labels"),
        ({"labels": {"a": "\0"}}, "/labels/a"),
        ({"labels": {f"l{number}": "" for number in range(21)}}, "/labels"),
        ({"visibility": "tenant"}, "/visibility"),
    ],
)
def test_refuses_what_can_not_be_said(
    traits: Any, pointer: str, as_alice: APIClient, alice: User
) -> None:
    template_id = publish(alice).template_id
    answer = as_alice.patch(url(template_id), traits, format="json")

    assert answer.status_code == 422
    assert pointer in faults(answer)


def test_lets_only_staff_show_a_template_to_everybody(
    as_alice: APIClient, as_staff: APIClient, alice: User, staff: User
) -> None:
    own, of_staff = publish(alice).template_id, publish(staff, name="other").template_id
    public = {"visibility": "public"}
    assert as_alice.patch(url(own), public, format="json").status_code == 403
    assert as_alice.patch(url(own), {"visibility": "private"}, format="json").status_code == 200

    answer = as_staff.patch(url(of_staff), public, format="json")
    assert (answer.json()["visibility"], answer.json()["owner"]) == ("public", None)
    assert as_alice.get(url(of_staff)).status_code == 200


def test_shows_no_two_templates_of_one_name_to_everybody(as_staff: APIClient, staff: User) -> None:
    publish(None)
    template_id = publish(staff).template_id
    answer = as_staff.patch(url(template_id), {"visibility": "public"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")
    assert Template.objects.get(pk=template_id).owner == staff


# -- the latest version
def test_goes_back_to_an_older_version(as_alice: APIClient, alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "1.1.0")
    answer = as_alice.post(url(template_id, "/latest"), {"version": "1.0.0"}, format="json")

    assert answer.json()["version"] == "1.0.0"
    assert answer.json()["is_latest"] is True
    assert versions(template_id) == {"1.1.0": "", "1.0.0": "latest"}
    assert services.resolve_version(user=alice, template_id=template_id).version == "1.0.0"


@pytest.mark.parametrize("version", ["9.9.9", "x", "1.0.0\0", ""])
def test_makes_no_version_the_latest_that_is_not_there(
    version: str, as_alice: APIClient, alice: User
) -> None:
    template_id = publish(alice).template_id
    answer = as_alice.post(url(template_id, "/latest"), {"version": version}, format="json")

    assert answer.status_code in (404, 422)


def test_makes_no_deprecated_version_the_latest(as_alice: APIClient, alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "1.1.0")
    as_alice.post(url(template_id, "/versions/1.0.0/deprecate"))
    answer = as_alice.post(url(template_id, "/latest"), {"version": "1.0.0"}, format="json")

    assert answer.status_code == 409


# -- deprecation
def test_chooses_the_highest_release_when_the_latest_is_deprecated(
    as_alice: APIClient, alice: User
) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0-rc.1", "1.2.0"):
        template_id = publish(alice, version).template_id

    def deprecate(version: str) -> dict[str, str]:
        answer = as_alice.post(url(template_id, f"/versions/{version}/deprecate"))
        assert answer.json()["deprecated_at"]
        return versions(template_id)

    rc, old = "1.2.0-rc.1", "deprecated"
    assert deprecate("1.2.0") == {"1.2.0": old, rc: "", "1.1.0": "latest", "1.0.0": ""}
    assert deprecate("1.0.0") == {"1.2.0": old, rc: "", "1.1.0": "latest", "1.0.0": old}
    assert deprecate("1.1.0") == {"1.2.0": old, rc: "latest", "1.1.0": old, "1.0.0": old}
    assert deprecate(rc) == {"1.2.0": old, rc: old, "1.1.0": old, "1.0.0": old}

    as_alice.post(url(template_id, "/versions/1.0.0/undeprecate"))
    as_alice.post(url(template_id, "/versions/1.2.0/undeprecate"))
    assert versions(template_id) == {"1.2.0": "", rc: old, "1.1.0": old, "1.0.0": "latest"}


def test_records_each_change_once(as_alice: APIClient, alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "1.1.0")
    AuditEvent.objects.all().delete()
    for path in ("/versions/1.1.0/deprecate", "/versions/1.1.0/undeprecate", "/deprecate"):
        for _ in range(2):
            assert as_alice.post(url(template_id, path)).status_code == 200
    for _ in range(2):
        as_alice.post(url(template_id, "/undeprecate"))
        as_alice.post(url(template_id, "/latest"), {"version": "1.1.0"}, format="json")

    assert actions() == [
        "template.deprecate_version",
        "template.undeprecate_version",
        "template.deprecate",
        "template.undeprecate",
        "template.make_latest",
    ]


def test_has_no_agents_made_from_what_is_deprecated(alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "1.1.0")
    services.deprecate_version(by=alice, template_id=template_id, version="1.0.0")

    def resolve(version: str = services.LATEST, **traits: Any) -> str:
        found = services.resolve_version(
            user=alice, template_id=template_id, version=version, **traits
        )
        return found.version

    assert resolve() == "1.1.0"
    with pytest.raises(ResourceConflict):
        resolve("1.0.0")
    assert resolve("1.0.0", allow_deprecated=True) == "1.0.0"
    services.deprecate_template(by=alice, template_id=template_id)
    with pytest.raises(ResourceConflict):
        resolve()
    assert resolve(allow_deprecated=True) == "1.1.0"


def test_resolves_what_a_user_sees(alice: User, bob: User) -> None:
    own, public = publish(alice).template_id, publish(None).template_id

    assert services.resolve_version(user=bob, template_id=public).template_id == public
    for template_id, version in [(own, "latest"), (public, "2.0.0"), (public, "newest")]:
        with pytest.raises(ResourceNotFound):
            services.resolve_version(user=bob, template_id=template_id, version=version)


# -- deletion
def test_deletes_a_template_with_its_versions(as_alice: APIClient, alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "1.1.0")

    assert as_alice.delete(url(template_id)).status_code == 204
    assert not Template.objects.exists()
    assert not TemplateVersion.objects.exists()
    event = AuditEvent.objects.get(action="template.delete")
    assert (event.resource, event.facts) == (f"template:{template_id}", {"name": "helper"})


def test_deprecates_what_is_in_use_instead(
    as_alice: APIClient, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, unused = publish(alice).template_id, publish(alice, name="other").template_id
    monkeypatch.setattr(usage, "_checks", [])
    services.register_use(lambda template_id: template_id == used)

    answer = as_alice.delete(url(used))
    assert answer.status_code == 200
    assert answer.json()["deprecated_at"]
    assert as_alice.delete(url(unused)).status_code == 204
    assert list(Template.objects.values_list("pk", flat=True)) == [used]


def test_deprecates_what_rows_of_other_apps_need(
    as_alice: APIClient, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    template_id = publish(alice).template_id

    def protect(*_: Any, **__: Any) -> None:
        raise ProtectedError("Agents were made from it.", set())

    monkeypatch.setattr(Template, "delete", protect)

    assert as_alice.delete(url(template_id)).json()["deprecated_at"]


def test_takes_the_templates_of_a_user_who_leaves(alice: User) -> None:
    publish(alice)
    public = publish(None).template_id
    alice.delete()

    assert list(Template.objects.values_list("pk", flat=True)) == [public]


# -- variables, for the apps above
def test_fills_in_files_that_another_service_keeps() -> None:
    filled = services.fill_document(agent_file(), {"user_name": "Al", "api_key": "sk-12345678"})
    assert filled.values["tone"] == "kind"
    assert services.secret_names(agent_file()) == {"api_key"}
    with pytest.raises(FieldInvalid):
        services.fill_document(agent_file(), {})


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        agent_file(persona={"system_prompt": "x", "variables_schema": {"$ref": "http://x/y"}}),
        agent_file(tools=[[[]] * 30_000]),
    ],
)
def test_trusts_no_file_of_another_service(document: Any) -> None:
    with pytest.raises(UpstreamAnswerInvalid):
        services.fill_document(document, {"user_name": "Al"})


def test_fills_in_a_version_or_says_what_is_wrong(alice: User) -> None:
    version = publish(alice)
    filled = services.fill_version(version, {"user_name": "Al", "api_key": "sk-12345678"})
    assert filled.document["persona"]["system_prompt"] == "You help Al in a kind tone."
    assert filled.values["api_key"] == "sk-12345678"

    with pytest.raises(FieldInvalid) as caught:
        services.fill_version(version, {"tone": "rude"})
    assert [fault["pointer"] for fault in caught.value.errors] == [
        "/variables/api_key",
        "/variables/tone",
        "/variables/user_name",
    ]
