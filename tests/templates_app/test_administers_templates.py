from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from templates_app import usage
from templates_app.models import Template, TemplateVersion
from tests.templates_app.conftest import publish
from tests.templates_app.files import agent_file, as_json

TEMPLATES = "admin:templates_app_template_changelist"
VERSIONS = "admin:templates_app_templateversion_changelist"
PUBLISH = "admin:templates_app_templateversion_add"


@pytest.fixture
def root(db: None) -> User:
    del db
    return User.objects.create_superuser("root", email="root@example.com")


@pytest.fixture
def site(root: User) -> Client:
    client = Client()
    client.force_login(root)
    return client


def member(*permissions: str) -> Client:
    user = User.objects.create_user("member", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, page: str, action: str, *rows: Model, confirmed: bool = True) -> Any:
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return client.post(reverse(page), data | ({"post": "yes"} if confirmed else {}), follow=True)


def upload(client: Client, content: bytes, **fields: str) -> Any:
    file = SimpleUploadedFile("agent.yaml", content)
    data = {"file": file, "visibility": "public", "changelog": "", **fields}
    return client.post(reverse(PUBLISH), data, follow=True)


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("helper", {"helper"}),
        ("help", set()),
        ("alice@example.com", {"helper"}),
        ("", {"helper", "shop"}),
    ],
)
def test_finds_templates_by_whole_words(
    term: str, found: set[str], site: Client, alice: User
) -> None:
    publish(alice)
    publish(None, name="shop")
    answer = site.get(reverse(TEMPLATES), {"q": term})

    assert {row.name for row in answer.context["cl"].result_list} == found


def test_finds_templates_and_versions_by_id(site: Client, alice: User) -> None:
    row = publish(alice)
    publish(None)
    for page, term in [
        (TEMPLATES, row.template_id),
        (TEMPLATES, alice.pk),
        (VERSIONS, row.template_id),
    ]:
        answer = site.get(reverse(page), {"q": str(term)})
        assert len(answer.context["cl"].result_list) == 1


def test_shows_templates_and_versions_and_lets_nobody_edit_them(site: Client) -> None:
    row = publish(None, tools=["<script>"[1:7]])
    pages = [
        reverse("admin:templates_app_template_change", args=[row.template_id]),
        reverse("admin:templates_app_templateversion_change", args=[row.pk]),
    ]
    for page in pages:
        answer = site.get(page)
        assert answer.status_code == 200
        assert 'name="_save"' not in answer.content.decode()
        assert site.post(page, {"name": "other"}).status_code == 403
    assert "stub-chat" in site.get(pages[1]).content.decode()


def test_runs_nothing_that_stands_in_a_file(site: Client) -> None:
    persona = {"system_prompt": "<script>alert(1)</script>", "variables_schema": {}}
    row = publish(None, persona=persona, memory_layout=None, tool_env=None, init_messages=None)
    page = site.get(reverse("admin:templates_app_templateversion_change", args=[row.pk]))

    assert "<script>alert" not in page.content.decode()


@pytest.mark.parametrize("page", [TEMPLATES, VERSIONS])
def test_lists_many_in_as_many_queries_as_few(
    page: str, site: Client, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    publish(alice)
    with CaptureQueriesContext(connection) as few:
        site.get(reverse(page))
    for number in range(10):
        publish(alice, name=f"t{number}")
    with django_assert_num_queries(len(few)):
        site.get(reverse(page))


def test_asks_before_it_does_anything(site: Client, alice: User) -> None:
    template = publish(alice).template
    for action in ("deprecate", "delete"):
        page = act(site, TEMPLATES, action, template, confirmed=False)
        assert "helper" in page.content.decode()
    assert Template.objects.get().deprecated_at is None


def test_deprecates_and_undeprecates_and_records_it(site: Client, root: User, alice: User) -> None:
    template = publish(alice).template
    act(site, TEMPLATES, "deprecate", template)
    assert Template.objects.get().deprecated_at
    act(site, TEMPLATES, "undeprecate", template)
    assert Template.objects.get().deprecated_at is None

    events = AuditEvent.objects.filter(user_id=root.pk).order_by("at", "id")
    assert [event.action for event in events] == ["template.deprecate", "template.undeprecate"]


def test_deletes_what_is_unused_and_deprecates_the_rest(
    site: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, unused = publish(alice).template, publish(alice, name="other").template
    monkeypatch.setattr(usage, "_checks", [lambda template_id: template_id == used.pk])
    act(site, TEMPLATES, "delete", used, unused)

    (left,) = Template.objects.all()
    assert (left, bool(left.deprecated_at)) == (used, True)


def test_looks_after_versions(site: Client, alice: User) -> None:
    first, second = publish(alice, "1.0.0"), publish(alice, "1.1.0")
    act(site, VERSIONS, "make_latest", first)
    assert TemplateVersion.objects.get(is_latest=True) == first
    act(site, VERSIONS, "deprecate", first)
    assert TemplateVersion.objects.get(is_latest=True) == second
    answer = act(site, VERSIONS, "make_latest", first)
    assert "1.0.0 is deprecated" in answer.content.decode()
    act(site, VERSIONS, "undeprecate", first)
    assert TemplateVersion.objects.get(pk=first.pk).deprecated_at is None


def test_publishes_for_everybody(site: Client, root: User) -> None:
    answer = upload(site, as_json(agent_file()), changelog="First.")

    row = TemplateVersion.objects.get()
    assert "Published: helper 1.0.0." in answer.content.decode()
    assert (row.template.owner, row.created_by, row.changelog) == (None, root, "First.")
    assert AuditEvent.objects.get(action="template.publish").user_id == root.pk


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (as_json(agent_file(engine={}, tools="x")), "/engine/model is required"),
        (as_json(agent_file(version="0.9.0")), "not higher than 1.0.0"),
        (b"a: *b", "aliases"),
        (b"", "empty"),
    ],
)
def test_says_why_a_file_is_not_published(content: bytes, complaint: str, site: Client) -> None:
    publish(None)
    page = upload(site, content).content.decode()

    assert complaint in page
    assert "Nothing was published." in page
    assert TemplateVersion.objects.count() == 1


def test_publishes_for_staff_who_may(db: None) -> None:
    del db
    upload(member("view_templateversion", "add_templateversion"), as_json(agent_file()))

    assert TemplateVersion.objects.exists()


def test_lets_staff_without_permission_do_nothing(alice: User) -> None:
    row = publish(alice)
    client = member("view_template", "view_templateversion")

    assert upload(client, as_json(agent_file())).status_code == 403
    act(client, TEMPLATES, "delete", row.template)
    act(client, VERSIONS, "deprecate", row)
    row.refresh_from_db()
    assert row.deprecated_at is None
    assert row.is_latest
