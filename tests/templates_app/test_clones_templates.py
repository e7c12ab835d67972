from __future__ import annotations

from typing import Any

import pytest
import yaml
from rest_framework.test import APIClient

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from templates_app.agent_file.canonical import checksum
from templates_app.models import Template, TemplateVersion
from templates_app.services import Place, deprecate_version, publish_version, update_template
from tests.templates_app.conftest import faults, publish
from tests.templates_app.files import agent_file


def clone(client: APIClient, row: TemplateVersion, **wish: Any) -> Any:
    return client.post(f"/api/v1/templates/{row.template_id}/clone", wish, format="json")


def test_makes_a_public_template_ones_own(as_bob: APIClient, bob: User) -> None:
    source = publish(None, "1.0.0")
    source = publish(None, "1.1.0")
    update_template(
        by=None, template_id=source.template_id, traits={"tags": ["a"], "labels": {"b": "c"}}
    )
    answer = clone(as_bob, source)

    assert answer.status_code == 201
    row = TemplateVersion.objects.get(template__owner=bob)
    assert answer.json() == {
        "template_id": str(row.template_id),
        "version": "1.1.0",
        "checksum": source.checksum,
        "is_latest": True,
    }
    assert (row.raw, row.template.name, row.template.visibility) == (
        source.raw,
        "helper",
        "private",
    )
    assert (row.template.tags, row.template.labels) == (["a"], {"b": "c"})
    event = AuditEvent.objects.get(action="template.clone")
    assert event.facts["source"] == f"{source.template_id}:1.1.0"


def test_gives_a_clone_another_name_and_keeps_the_order_of_its_file(
    as_alice: APIClient, alice: User
) -> None:
    text = yaml.safe_dump(agent_file(), sort_keys=False)
    source = publish_version(place=Place(by=alice), content=text.encode())
    answer = clone(as_alice, source, name="copy", version="1.0.0")

    row = TemplateVersion.objects.get(template__name="copy")
    assert (row.format, row.document["template"]["name"]) == ("json", "copy")
    assert list(yaml.safe_load(row.raw)) == list(agent_file())
    assert answer.json()["checksum"] == row.checksum == checksum(agent_file("copy"))


def test_can_clone_what_is_deprecated(as_alice: APIClient, alice: User) -> None:
    source = publish(alice)
    deprecate_version(by=alice, template_id=source.template_id, version="1.0.0")

    assert clone(as_alice, source, name="copy", version="1.0.0").status_code == 201
    assert clone(as_alice, source, name="other").status_code == 404


def test_takes_no_name_that_is_taken(as_alice: APIClient, alice: User) -> None:
    answer = clone(as_alice, publish(alice))

    assert (answer.status_code, answer.json()["code"]) == (409, "caller_conflict")
    assert Template.objects.count() == 1


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"name": "Not A Name"}, "/template/name"),
        ({"name": "x" * 65}, "/name"),
        ({"title": "x"}, "/title"),
        ({"visibility": "all"}, "/visibility"),
    ],
)
def test_refuses_what_a_clone_can_not_be(
    wish: Any, pointer: str, as_alice: APIClient, alice: User
) -> None:
    answer = clone(as_alice, publish(alice), **wish)

    assert answer.status_code == 422
    assert pointer in faults(answer)
    assert Template.objects.count() == 1


def test_lets_only_staff_clone_for_everybody(as_bob: APIClient, as_staff: APIClient) -> None:
    source = publish(None)

    assert clone(as_bob, source, name="copy", visibility="public").status_code == 403
    assert clone(as_staff, source, name="copy", visibility="public").status_code == 201
    assert Template.objects.get(name="copy").owner is None
