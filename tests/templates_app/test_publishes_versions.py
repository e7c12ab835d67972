from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import DatabaseError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import CountExhausted, PolicyError, ResourceConflict
from templates_app.agent_file.canonical import checksum
from templates_app.models import Template, TemplateVersion, Visibility
from templates_app.services import Place, deprecate_template, make_latest, publish_version
from tests.templates_app.conftest import faults, publish
from tests.templates_app.files import agent_file, as_json

PUBLISH = "/api/v1/templates/publish"


def send(client: APIClient, document: Any, query: str = "") -> Any:
    return client.post(PUBLISH + query, as_json(document), content_type="application/json")


def test_makes_a_template_with_its_first_version(as_alice: APIClient, alice: User) -> None:
    document = agent_file()
    answer = send(as_alice, document, "?changelog=First.&tags=b,a&tags=c")

    template = Template.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "template_id": str(template.pk),
        "version": "1.0.0",
        "checksum": checksum(document),
        "is_latest": True,
    }
    assert answer["location"] == f"/api/v1/templates/{template.pk}/versions/1.0.0"
    assert (template.owner, template.visibility) == (alice, "private")
    assert (template.description, template.tags) == ("Answers questions.", ["a", "b", "c"])
    row = template.versions.get()
    assert (row.document, row.raw.encode()) == (document, as_json(document))
    assert (row.changelog, row.created_by) == ("First.", alice)


def test_keeps_a_file_as_it_was_sent(as_alice: APIClient) -> None:
    text = "# Mine.\n" + yaml.safe_dump(agent_file())
    as_alice.post(PUBLISH, text, content_type="text/yaml; charset=utf-8")

    row = TemplateVersion.objects.get()
    assert (row.format, row.raw) == ("yaml", text)
    assert row.checksum == checksum(row.document) == checksum(agent_file())


def test_adds_higher_versions_to_the_template(as_alice: APIClient, alice: User) -> None:
    first = publish(alice)
    answer = send(as_alice, agent_file(version="1.0.1"))

    assert answer.json()["template_id"] == str(first.template_id)
    assert list(first.template.versions.values_list("version", "is_latest")) == [
        ("1.0.1", True),
        ("1.0.0", False),
    ]


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("1.2.0", "published already"),
        ("1.2.0+other", "published already"),
        ("1.1.9", "not higher than 1.2.0"),
        ("1.2.0-rc.1", "not higher than 1.2.0"),
        ("1.0.0", "published already"),
    ],
)
def test_refuses_a_version_that_is_not_higher(
    version: str, problem: str, as_alice: APIClient, alice: User
) -> None:
    publish(alice, "1.0.0")
    publish(alice, "1.2.0")
    answer = send(as_alice, agent_file(version=version))

    assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")
    assert problem in faults(answer)["/template/version"]
    assert TemplateVersion.objects.count() == 2


def test_compares_with_the_highest_version_and_not_with_the_latest(alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "2.0.0")
    make_latest(by=alice, template_id=template_id, version="1.0.0")

    with pytest.raises(ResourceConflict):
        publish(alice, "1.5.0")
    assert publish(alice, "2.0.1").is_latest


def test_prefers_releases_to_pre_releases(alice: User) -> None:
    published = ["1.0.0-rc.1", "1.0.0-rc.2", "1.0.0", "1.1.0-rc.1", "1.1.0"]

    assert [publish(alice, version).is_latest for version in published] == [
        *(True, True, True, False, True)
    ]


def test_publishes_nothing_of_an_invalid_file(as_alice: APIClient) -> None:
    answer = send(as_alice, agent_file(engine={}, tools=[1]))

    assert (answer.status_code, answer.json()["code"]) == (422, "caller_field_invalid")
    assert faults(answer) == {"/engine/model": "is required", "/tools/0": "must be a text"}
    assert not Template.objects.exists()


@pytest.mark.parametrize("query", ["?visibility=all", "?tags=a%20b", f"?changelog={'x' * 10001}"])
def test_refuses_what_the_query_can_not_say(query: str, as_alice: APIClient) -> None:
    assert send(as_alice, agent_file(), query).status_code == 422


def test_keeps_the_names_of_users_apart(alice: User, bob: User) -> None:
    ids = {publish(owner).template_id for owner in (alice, bob, None)}

    assert len(ids) == 3


def test_lets_only_staff_publish_for_everybody(as_alice: APIClient, as_staff: APIClient) -> None:
    answer = send(as_alice, agent_file(), "?visibility=public")
    assert (answer.status_code, answer.json()["code"]) == (403, "policy_forbidden")

    assert send(as_staff, agent_file(), "?visibility=public").status_code == 201
    template = Template.objects.get()
    assert (template.owner, template.visibility) == (None, "public")


def test_publishes_private_files_of_staff_as_their_own(staff: User, as_staff: APIClient) -> None:
    product = publish(None).template_id
    answer = send(as_staff, agent_file(version="2.0.0"))

    assert answer.json()["template_id"] != str(product)
    assert Template.objects.get(pk=answer.json()["template_id"]).owner == staff


def test_lets_every_member_of_staff_publish_for_the_product(as_staff: APIClient) -> None:
    product = publish(None).template_id
    answer = send(as_staff, agent_file(version="2.0.0"), "?visibility=public")

    assert answer.json()["template_id"] == str(product)


def test_lets_no_version_be_published_of_a_deprecated_template(alice: User) -> None:
    deprecate_template(by=alice, template_id=publish(alice).template_id)

    with pytest.raises(ResourceConflict, match="deprecated"):
        publish(alice, "1.1.0")


@override_settings(MAX_TEMPLATES_PER_USER=2, MAX_VERSIONS_PER_TEMPLATE=3)
def test_bounds_what_one_user_can_have(alice: User, bob: User) -> None:
    for name in ("a", "b"):
        publish(alice, name=name)
    with pytest.raises(CountExhausted):
        publish(alice, name="c")
    publish(bob, name="c")
    for name in ("a", "b", "c"):
        publish(None, name=name)
    for version in ("1.0.1", "1.0.2"):
        publish(alice, version, name="a")
    with pytest.raises(CountExhausted):
        publish(alice, "1.0.3", name="a")


def test_records_who_published_what(alice: User) -> None:
    version = publish(alice)

    event = AuditEvent.objects.get()
    assert (event.action, event.user_id) == ("template.publish", alice.pk)
    assert event.resource == f"template:{version.template_id}"
    assert event.facts == {
        "name": "helper",
        "version": "1.0.0",
        "checksum": version.checksum,
        "visibility": "private",
    }


def test_makes_as_many_queries_for_a_late_version_as_for_an_early_one(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    publish(alice)
    with CaptureQueriesContext(connection) as early:
        publish(alice, "1.1.0")
    for number in range(10):
        publish(alice, f"1.2.{number}")
    with django_assert_num_queries(len(early)):
        publish(alice, "1.3.0")


@pytest.mark.parametrize(
    "change",
    [
        {"version": "9.9.9"},
        {"major": 9},
        {"prerelease_key": "1a!"},
        {"checksum": "0" * 64},
        {"document": {}},
        {"raw": "{}"},
        {"format": "yaml"},
        {"changelog": "Nothing."},
        {"created_at": timezone.now() - timedelta(days=1)},
    ],
)
def test_lets_nobody_change_a_published_version(change: dict[str, Any], alice: User) -> None:
    row = publish(alice)

    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        TemplateVersion.objects.filter(pk=row.pk).update(**change)
    for name, value in change.items():
        setattr(row, name, value)
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        row.save()


def test_forgets_the_publisher_who_is_gone(staff: User) -> None:
    place = Place(by=staff, visibility=Visibility.PUBLIC)
    row = publish_version(place=place, content=as_json(agent_file()))
    staff.delete()

    row.refresh_from_db()
    assert row.created_by is None


def test_takes_nothing_for_everybody_from_users_in_code_either(alice: User) -> None:
    with pytest.raises(PolicyError):
        publish_version(
            place=Place(by=alice, visibility=Visibility.PUBLIC), content=as_json(agent_file())
        )
