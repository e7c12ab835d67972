from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from letta_proxy.models import AccessRule

pytestmark = pytest.mark.django_db
LIST = "admin:letta_proxy_accessrule_changelist"


@pytest.fixture
def admin(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


def add(admin: Client, **fields: Any) -> Any:
    values = {"effect": "deny", "method": "POST", "reason": "r", "is_active": "on", **fields}
    return admin.post(reverse("admin:letta_proxy_accessrule_add"), values, follow=True)


def page(admin: Client, rule: AccessRule) -> str:
    answer = admin.get(reverse("admin:letta_proxy_accessrule_change", args=[rule.pk]))
    return str(answer.content.decode())


def newest() -> AccessRule:
    return AccessRule.objects.latest("id")


def test_saves_a_rule_in_its_one_form_and_says_what_it_is_about(admin: Client, root: User) -> None:
    answer = add(admin, path_pattern="/v1/agents/{agent_id}/messages/")

    rule = newest()
    assert (rule.method, rule.path_pattern) == ("POST", "/agents/*/messages")
    assert rule.updated_by == root
    assert f"Operations that {rule.rule_id} is about: 1." in answer.content.decode()
    assert "POST /agents/{agent_id}/messages" in page(admin, rule)


def test_warns_of_a_rule_that_is_switched_off(admin: Client) -> None:
    answer = admin.post(
        reverse("admin:letta_proxy_accessrule_add"),
        {"effect": "deny", "path_pattern": "/**", "reason": "r"},
        follow=True,
    )

    assert "It is switched off." in answer.content.decode()
    assert newest().is_active is False


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"path_pattern": "/agents/messages"}, "Close to it: /agents/*/messages"),
        ({"path_pattern": "/admin/**"}, "as not offered"),
        ({"path_pattern": "agents"}, "Begin with a slash"),
        ({"path_pattern": "/agents", "effect": "allow"}, "not one of the available choices"),
        ({"path_pattern": "/agents", "effect": ""}, "This field is required"),
        ({"path_pattern": "/agents", "reason": ""}, "This field is required"),
    ],
)
def test_refuses_what_could_never_match(admin: Client, fields: dict[str, str], words: str) -> None:
    before = AccessRule.objects.count()

    answer = add(admin, **fields)

    assert words in answer.content.decode()
    assert AccessRule.objects.count() == before


def test_is_for_a_user_or_a_role(admin: Client, root: User) -> None:
    answer = add(admin, path_pattern="/agents", user=str(root.pk), role="anonymous")

    assert "Choose a user or a role, not both." in answer.content.decode()
    with pytest.raises(IntegrityError), transaction.atomic():
        AccessRule.objects.create(
            effect="deny", path_pattern="/agents", user=root, role="anonymous", reason="r"
        )


@pytest.mark.parametrize("field", ["effect", "method", "path_pattern", "role"])
def test_the_table_itself_takes_no_other_values(field: str) -> None:
    values = {"effect": "deny", "path_pattern": "/agents", "reason": "r", field: "other"}

    with pytest.raises(IntegrityError), transaction.atomic():
        AccessRule.objects.create(**values)


def test_tells_every_process_and_the_audit_trail(
    admin: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(cache, "invalidate", lambda *subject: told.append(subject))

    with django_capture_on_commit_callbacks(execute=True):
        add(admin, path_pattern="/agents")
        rule = newest()
        url = reverse("admin:letta_proxy_accessrule_change", args=[rule.pk])
        admin.post(url, {"effect": "shadow", "path_pattern": "/agents", "reason": "r"})
        admin.post(
            reverse(LIST),
            {"action": "delete_selected", "_selected_action": [rule.pk], "post": "yes"},
        )

    assert told == [("access_rules", rule.rule_id)] * 3
    events = AuditEvent.objects.filter(resource=f"access_rule:{rule.pk}").order_by("id")
    assert [event.action.rpartition(".")[2] for event in events] == ["create", "change", "delete"]
    assert {event.user_email for event in events} == {"root@example.com"}


def test_deletes_one_with_an_audit_event(admin: Client) -> None:
    rule = AccessRule.objects.all()[0]
    url = reverse("admin:letta_proxy_accessrule_delete", args=[rule.pk])

    admin.post(url, {"post": "yes"})

    assert not AccessRule.objects.filter(pk=rule.pk).exists()
    assert AuditEvent.objects.get(resource=f"access_rule:{rule.pk}").facts["rule"] == rule.rule_id


def test_says_of_a_rule_that_the_catalogue_has_outgrown_that_it_does_nothing(
    admin: Client,
) -> None:
    rule = AccessRule.objects.create(effect="deny", path_pattern="/retired/*", reason="r")

    assert "the rule does nothing" in page(admin, rule)


def test_lists_with_whom_each_rule_is_about(admin: Client, root: User) -> None:
    AccessRule.objects.create(effect="deny", path_pattern="/agents", user=root, reason="r")

    text = admin.get(reverse(LIST)).content.decode()

    for shown in ("everybody", "anonymous users", "root", "any", "/folders/*/upload"):
        assert shown in text


def test_is_for_staff_with_the_permission(client: Client, root: User) -> None:
    del root
    staff = User.objects.create_user("staff", "a good pass phrase", is_staff=True)
    client.force_login(staff)
    assert client.get(reverse(LIST)).status_code == 403

    staff.user_permissions.add(Permission.objects.get(codename="view_accessrule"))
    assert client.get(reverse(LIST)).status_code == 200
    rule = AccessRule.objects.all()[0]
    url = reverse("admin:letta_proxy_accessrule_change", args=[rule.pk])
    assert client.post(url, {"effect": "shadow"}).status_code == 403
