"""What staff do with the product's templates takes the permissions that the admin asks for, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from templates_app.models import Template
from templates_app.permissions import CHANGE, DELETE, PUBLISH, VIEW
from templates_app.services import update_template
from tests.templates_app.conftest import exported, publish, with_permissions
from tests.templates_app.files import agent_file

SignedIn = Callable[[User], APIClient]
TEMPLATES = "/api/v1/templates"
PUBLIC = "?visibility=public"
# What takes which permission: method, path below a public template's or of the collection, body.
ACTIONS: dict[str, list[tuple[str, str, Any]]] = {
    PUBLISH: [
        ("POST", f"{TEMPLATES}/publish{PUBLIC}", agent_file(version="2.0.0")),
        ("POST", f"{TEMPLATES}/import{PUBLIC}", "bundle"),
        ("POST", "{template}/clone", {"name": "other", "visibility": "public"}),
        ("PATCH", "{own}", {"visibility": "public"}),
    ],
    CHANGE: [
        ("PATCH", "{template}", {"description": "Better."}),
        ("PATCH", "{template}", {"visibility": "private"}),
        ("POST", "{template}/latest", {"version": "1.0.0"}),
        ("POST", "{template}/deprecate", {}),
        ("POST", "{template}/undeprecate", {}),
        ("POST", "{template}/versions/1.0.0/deprecate", {}),
        ("POST", "{template}/versions/1.0.0/undeprecate", {}),
    ],
    DELETE: [("DELETE", "{template}", None)],
}
CASES = [(permission, case) for permission, cases in ACTIONS.items() for case in cases]
ALL = {PUBLISH, CHANGE, DELETE}


@pytest.fixture
def member(db: None) -> User:
    """Return staff without any permission."""
    del db
    return User.objects.create(email="member@example.com", password="!", is_staff=True)


def call(client: APIClient, member: User, method: str, path: str, body: Any) -> Any:
    """Call the API as somebody who has a template of their own beside the public one."""
    own = publish(member, name="own").template_id
    public = Template.objects.get(owner=None)
    if body == "bundle":
        body = exported(public)
    target = path.format(template=f"{TEMPLATES}/{public.pk}", own=f"{TEMPLATES}/{own}")
    before = AuditEvent.objects.count()
    answer = getattr(client, method.lower())(target, body, format="json")
    assert answer.status_code < 300 or AuditEvent.objects.count() == before
    return answer


@pytest.mark.parametrize(("permission", "case"), CASES)
def test_refuses_staff_who_have_all_others(
    permission: str, case: Any, member: User, signed_in: SignedIn
) -> None:
    publish(None)
    with_permissions(member, *ALL - {permission})

    answer = call(signed_in(member), member, *case)

    assert (answer.status_code, answer.json()["code"]) == (403, "policy_forbidden")
    assert permission in answer.json()["detail"]


@pytest.mark.parametrize(("permission", "case"), CASES)
def test_lets_staff_who_have_it(
    permission: str, case: Any, member: User, signed_in: SignedIn
) -> None:
    publish(None)
    with_permissions(member, permission)

    assert call(signed_in(member), member, *case).status_code in (200, 201, 204)


@pytest.mark.parametrize(("permission", "case"), CASES)
def test_a_permission_is_nothing_to_who_is_not_staff(
    permission: str, case: Any, member: User, signed_in: SignedIn
) -> None:
    publish(None)
    with_permissions(member, permission)
    User.objects.update(is_staff=False)
    user = User.objects.get(pk=member.pk)

    answer = call(signed_in(user), user, *case)

    assert answer.status_code == 403
    assert permission not in answer.json()["detail"]


@pytest.mark.parametrize("case", [cases[0] for cases in ACTIONS.values()])
def test_superusers_have_all(case: Any, member: User, signed_in: SignedIn) -> None:
    publish(None)
    member.is_superuser = True

    assert call(signed_in(member), member, *case).status_code in (200, 201, 204)


def test_who_is_staff_without_any_keeps_their_own(member: User, signed_in: SignedIn) -> None:
    client = signed_in(member)
    template = f"{TEMPLATES}/{publish(member).template_id}"

    assert client.patch(template, {"description": "Mine."}, format="json").status_code == 200
    assert client.delete(template).status_code == 204


@pytest.mark.parametrize(
    ("permissions", "status"), [((), 404), ((VIEW,), 200), ((CHANGE,), 200), ((PUBLISH,), 404)]
)
def test_shows_drafts_to_who_sees_them_in_the_admin(
    permissions: tuple[str, ...], status: int, member: User, signed_in: SignedIn
) -> None:
    draft = publish(None).template_id
    update_template(by=None, template_id=draft, traits={"visibility": "private"})
    with_permissions(member, *permissions)

    assert signed_in(member).get(f"{TEMPLATES}/{draft}").status_code == status
