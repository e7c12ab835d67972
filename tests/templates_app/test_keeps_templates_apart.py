"""Every route, by its owner, by a stranger, by anybody for what is public, and by staff."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from templates_app.models import Template, TemplateVersion
from tests.templates_app.conftest import exported, publish

# Method, path below the template, body: what a template's own routes are called with.
READS = [
    ("get", "", None),
    ("get", "/export", None),
    ("get", "/versions", None),
    ("get", "/versions/1.0.0", None),
    ("get", "/versions/latest", None),
    ("get", "/versions/1.0.0/file", None),
    ("post", "/clone", {"name": "copy"}),
]
WRITES = [
    ("patch", "", {"description": "New."}),
    ("post", "/latest", {"version": "1.0.0"}),
    ("post", "/versions/1.0.0/deprecate", None),
    ("post", "/versions/1.0.0/undeprecate", None),
    ("post", "/deprecate", None),
    ("post", "/undeprecate", None),
    ("delete", "", None),
]


def call(client: APIClient, template: Template, method: str, path: str, body: Any) -> Any:
    send = getattr(client, method)
    return send(f"/api/v1/templates/{template.pk}{path}", body, format="json")


def state() -> Any:
    rows = TemplateVersion.objects.order_by("pk").values("pk", "is_latest", "deprecated_at")
    return list(Template.objects.order_by("pk").values()), list(rows)


def name_of(case: Any) -> str:
    return f"{case[0]} {case[1]}"


@pytest.fixture
def template(alice: User) -> Template:
    publish(alice)
    return publish(alice, "1.1.0").template


@pytest.fixture
def public(db: None) -> Template:
    del db
    return publish(None).template


@pytest.mark.parametrize("case", [*READS, *WRITES], ids=name_of)
def test_works_for_the_owner(case: Any, as_alice: APIClient, template: Template) -> None:
    assert call(as_alice, template, *case).status_code in (200, 201, 204)


@pytest.mark.parametrize("case", [*READS, *WRITES], ids=name_of)
def test_is_not_there_for_a_stranger(case: Any, as_bob: APIClient, template: Template) -> None:
    before = state()
    answer = call(as_bob, template, *case)

    assert (answer.status_code, answer.json()["code"]) == (404, "caller_not_found")
    assert state() == before


@pytest.mark.parametrize("case", [*READS, *WRITES], ids=name_of)
def test_is_not_there_for_staff_either(case: Any, as_staff: APIClient, template: Template) -> None:
    assert call(as_staff, template, *case).status_code == 404


@pytest.mark.parametrize("case", [*READS, *WRITES], ids=name_of)
def test_is_there_for_nobody_without_a_token(case: Any, template: Template) -> None:
    assert call(APIClient(), template, *case).status_code == 401


@pytest.mark.parametrize("case", READS, ids=name_of)
def test_lets_everybody_read_what_is_public(case: Any, as_bob: APIClient, public: Template) -> None:
    assert call(as_bob, public, *case).status_code in (200, 201)


@pytest.mark.parametrize("case", WRITES, ids=name_of)
def test_lets_only_staff_change_what_is_public(
    case: Any, as_bob: APIClient, as_staff: APIClient, public: Template
) -> None:
    before = state()
    answer = call(as_bob, public, *case)

    assert (answer.status_code, answer.json()["code"]) == (403, "policy_forbidden")
    assert state() == before
    assert call(as_staff, public, *case).status_code in (200, 204)


@pytest.mark.parametrize("case", WRITES, ids=name_of)
def test_hides_what_staff_have_withdrawn(
    case: Any, as_bob: APIClient, as_staff: APIClient, public: Template
) -> None:
    as_staff.patch(f"/api/v1/templates/{public.pk}", {"visibility": "private"}, format="json")

    assert call(as_bob, public, *case).status_code == 404
    assert call(as_staff, public, *case).status_code in (200, 204)


def test_leaves_no_trace_of_refused_changes(as_bob: APIClient, template: Template) -> None:
    before = AuditEvent.objects.count()
    for case in WRITES:
        call(as_bob, template, *case)

    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("case", [*READS, *WRITES], ids=name_of)
def test_knows_no_template_by_a_wrong_id(
    case: Any, as_alice: APIClient, template: Template
) -> None:
    template.pk = "0190b6a0-0000-7000-8000-000000000000"
    assert call(as_alice, template, *case).status_code == 404
    template.pk = "not-an-id"
    assert call(as_alice, template, *case).status_code == 404


def test_says_nobodys_id_but_the_callers_own(
    as_bob: APIClient, staff: User, signed_in: Callable[[User], APIClient], public: Template
) -> None:
    signed_in(staff).patch(f"/api/v1/templates/{public.pk}", {"tags": ["a"]}, format="json")
    answers = [call(as_bob, public, *case) for case in READS]
    text = json.dumps(exported(public)) + "".join(
        answer.content.decode() if answer.status_code != 201 else json.dumps(answer.json())
        for answer in answers
        if not answer.streaming
    )

    assert str(staff.pk) not in text
    assert "staff@" not in text
