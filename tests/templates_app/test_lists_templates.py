from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import User
from templates_app.models import Template
from templates_app.services import deprecate_template, deprecate_version, update_template
from tests.templates_app.conftest import publish

TEMPLATES = "/api/v1/templates"


def listed(client: APIClient, query: str = "") -> list[str]:
    answer = client.get(TEMPLATES + query)
    assert answer.status_code == 200
    return [template["name"] for template in answer.json()["data"]]


def test_shows_ones_own_and_the_public_templates_newest_first(
    as_alice: APIClient, alice: User, bob: User
) -> None:
    publish(alice, name="own")
    publish(bob, name="foreign")
    publish(None, name="public")

    assert listed(as_alice) == ["public", "own"]


def test_shows_staff_the_drafts_of_the_product_and_nothing_of_users(
    as_staff: APIClient, as_alice: APIClient, alice: User, staff: User
) -> None:
    publish(alice, name="foreign")
    draft = publish(None, name="draft").template_id
    update_template(by=staff, template_id=draft, traits={"visibility": "private"})

    assert listed(as_staff) == ["draft"]
    assert listed(as_alice) == ["foreign"]


def test_describes_a_template(as_alice: APIClient, alice: User) -> None:
    template = publish(alice).template
    publish(alice, "1.1.0-rc.1")
    traits = {"tags": ["a"], "labels": {"team": "x"}}
    update_template(by=alice, template_id=template.pk, traits=traits)  # type: ignore[arg-type]
    answer = as_alice.get(f"{TEMPLATES}/{template.pk}").json()

    assert {name: answer.pop(name) for name in ("created_at", "updated_at")}
    assert answer == {
        "id": str(template.pk),
        "name": "helper",
        "description": "Answers questions.",
        "visibility": "private",
        "owner": str(alice.pk),
        "tags": ["a"],
        "labels": {"team": "x"},
        "latest_version": "1.0.0",
        "deprecated_at": None,
    }
    assert as_alice.get(TEMPLATES).json()["data"][0]["latest_version"] == "1.0.0"


def test_names_no_latest_version_when_all_are_deprecated(as_alice: APIClient, alice: User) -> None:
    template_id = publish(alice).template_id
    deprecate_version(by=alice, template_id=template_id, version="1.0.0")

    assert as_alice.get(f"{TEMPLATES}/{template_id}").json()["latest_version"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=help", ["helper"]),
        ("?q=HELP", ["helper"]),
        ("?q=answers%20quest", ["shop", "helper"]),
        ("?q=%25", []),
        ("?q='--", []),
        ("?tag=blue", ["shop", "helper"]),
        ("?tag=blue&tag=red", ["helper"]),
        ("?tag=blue,red", ["helper"]),
        ("?tag=gr", []),
        ("?visibility=private", ["helper"]),
        ("?visibility=public", ["shop"]),
        ("?owner=me", ["helper"]),
        ("?owner=me&visibility=public", []),
        ("?include_deprecated=true", ["old", "shop", "helper"]),
    ],
)
def test_filters(query: str, found: list[str], as_alice: APIClient, alice: User) -> None:
    for owner, name, tags in [
        (alice, "helper", ["blue", "red"]),
        (None, "shop", ["blue", "green"]),
        (None, "old", []),
    ]:
        template = publish(owner, name=name).template
        update_template(by=owner, template_id=template.pk, traits={"tags": tags})
    deprecate_template(by=None, template_id=template.pk)
    Template.objects.filter(name="old").update(description="")

    assert listed(as_alice, query) == found


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("?visibility=all", "/visibility"),
        ("?owner=bob", "/owner"),
        ("?q=%00", "/q"),
        ("?q=" + "x" * 201, "/q"),
        ("?tag=a%20b", "/tag/0"),
        ("?limit=0", "/limit"),
        ("?limit=101", "/limit"),
        ("?limit=-1", "/limit"),
        ("?limit=ten", "/limit"),
        ("?limit=%D9%A3", "/limit"),
        ("?limit=" + "9" * 5000, "/limit"),
        ("?cursor=x", "/cursor"),
        ("?cursor=WyJhIl0:abc", "/cursor"),
        ("?include_deprecated=perhaps", "/include_deprecated"),
    ],
)
def test_refuses_queries_that_mean_nothing(query: str, pointer: str, as_alice: APIClient) -> None:
    answer = as_alice.get(TEMPLATES + query)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


def pages(client: APIClient, query: str) -> list[Any]:
    names: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(f"{TEMPLATES}?{query}&cursor={cursor}").json()
        names.append([template["name"] for template in answer["data"]])
        cursor = answer["next_cursor"]
    return names


def test_turns_pages(as_alice: APIClient, alice: User) -> None:
    for number in range(5):
        publish(alice, name=f"t{number}")

    assert pages(as_alice, "limit=2") == [["t4", "t3"], ["t2", "t1"], ["t0"]]
    assert pages(as_alice, "limit=5") == [["t4", "t3", "t2", "t1", "t0"]]
    assert pages(as_alice, "limit=2&q=t1") == [["t1"]]


def test_shows_nothing_twice_when_rows_come_and_go_between_pages(
    as_alice: APIClient, alice: User
) -> None:
    for number in range(4):
        publish(alice, name=f"t{number}")
    first = as_alice.get(f"{TEMPLATES}?limit=2").json()
    publish(alice, name="new")
    Template.objects.filter(name="t2").delete()
    second = as_alice.get(f"{TEMPLATES}?limit=2&cursor={first['next_cursor']}").json()

    assert [template["name"] for template in second["data"]] == ["t1", "t0"]


def test_turns_pages_of_rows_that_were_made_at_the_same_time(
    as_alice: APIClient, alice: User
) -> None:
    now = timezone.now()
    Template.objects.bulk_create(Template(owner=alice, name=f"t{n}") for n in range(9))
    Template.objects.update(created_at=now)
    found = pages(as_alice, "limit=2")

    assert sorted(name for page in found for name in page) == [f"t{n}" for n in range(9)]
    assert [len(page) for page in found] == [2, 2, 2, 2, 1]


def test_takes_no_cursor_of_another_list(as_alice: APIClient, alice: User) -> None:
    template_id = publish(alice, "1.0.0").template_id
    publish(alice, "1.1.0")
    url = f"{TEMPLATES}/{template_id}/versions"
    cursor = as_alice.get(f"{url}?limit=1").json()["next_cursor"]

    assert as_alice.get(f"{url}?cursor={cursor}").status_code == 200
    assert as_alice.get(f"{TEMPLATES}?cursor={cursor}").status_code == 422


def test_lists_many_templates_in_as_many_queries_as_few(
    as_alice: APIClient, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    publish(alice)
    with django_assert_num_queries(1):
        listed(as_alice)
    for number in range(20):
        publish(alice, name=f"t{number}")
    with django_assert_num_queries(1):
        assert len(listed(as_alice, "?limit=100")) == 21


def test_wants_a_token(db: None) -> None:
    del db
    assert APIClient().get(TEMPLATES).status_code == 401
