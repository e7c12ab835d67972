"""Every model is in the admin, every page of it opens, and none shows a secret."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import ExportPart, User
from gateway_project.system.models import BreakerTrip

pytestmark = pytest.mark.django_db
_OURS = {
    *("accounts", "agents", "audit", "idempotency", "jobs"),
    *("letta_proxy", "llm_proxy", "roof", "templates_app"),
}
# What people have exported, which is no business of staff.
_PRIVATE = {ExportPart}
# On the page of the upstreams, with all circuits.
_ELSEWHERE = {BreakerTrip}
_REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)


def _label(model: type[Model]) -> str:
    return model._meta.label


def _page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def test_knows_every_model_of_ours() -> None:
    ours = {model for model in apps.get_models() if model._meta.app_label in _OURS}

    assert {_label(model) for model in ours - {*_REGISTERED, *_PRIVATE, *_ELSEWHERE}} == set()


@pytest.mark.parametrize("model", _REGISTERED, ids=_label)
def test_opens_the_list_and_searches_it(admin_client: Client, model: type[Model]) -> None:
    assert admin_client.get(_page(model, "changelist")).status_code == 200
    if admin.site._registry[model].search_fields:
        assert admin_client.get(_page(model, "changelist"), {"q": "anything"}).status_code == 200


@pytest.mark.parametrize("model", _REGISTERED, ids=_label)
def test_opens_the_form_or_refuses_it(admin_client: Client, model: type[Model]) -> None:
    response = admin_client.get(_page(model, "add"))

    may_add = admin.site._registry[model].has_add_permission(response.wsgi_request)
    assert response.status_code == (200 if may_add else 403)


@pytest.mark.parametrize("model", _REGISTERED, ids=_label)
def test_makes_a_constant_number_of_queries_for_a_list(
    admin_client: Client, model: type[Model], django_assert_max_num_queries: object
) -> None:
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        admin_client.get(_page(model, "changelist"))


@pytest.mark.parametrize("model", _REGISTERED, ids=_label)
def test_is_for_staff_only(client: Client, model: type[Model]) -> None:
    response = client.get(_page(model, "changelist"))

    assert response.status_code == 302
    assert response["location"].startswith("/admin/login/")


def test_opens_a_user_without_the_password(admin_client: Client) -> None:
    user = User.objects.get(username="admin")

    page = admin_client.get(_page(User, "change", user.pk)).content.decode()

    assert user.email in page
    assert user.password not in page


def test_opens_a_group(admin_client: Client) -> None:
    group = Group.objects.create(name="operators")

    assert admin_client.get(_page(Group, "change", group.pk)).status_code == 200


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/admin/audit/auditevent/"])
def test_brings_its_icon_and_what_keeps_lists_on_the_screen(client: Client, path: str) -> None:
    if "login" not in path:
        client.force_login(User.objects.create_superuser("root", "right-password"))
    page = client.get(path).content.decode()

    for name, kind in (("favicon.svg", "image/svg+xml"), ("admin.css", "text/css")):
        assert f'href="/static/gateway/{name}"' in page
        assert client.get(f"/static/gateway/{name}")["content-type"].startswith(kind)


def test_has_an_icon_where_browsers_look_for_one(client: Client) -> None:
    answer = client.get("/favicon.ico", follow=True)

    assert (answer.status_code, answer["content-type"]) == (200, "image/svg+xml")


def test_writes_times_as_the_log_does(admin_client: Client) -> None:
    root = User.objects.get(username="admin")
    User.objects.update(created_at=datetime(2026, 1, 2, 13, 4, 5, tzinfo=UTC))

    for page in (_page(User, "changelist"), _page(User, "change", root.pk)):
        assert "2026-01-02 13:04:05" in admin_client.get(page).content.decode()
