"""What every answer tells browsers, and that the pages for staff keep to it, whatever they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from django.contrib import admin
from django.db import DatabaseError, models, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.gateway_project.known_things import Maker

_HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>&lt;\u202e"


class _Page(HTMLParser):
    """Notes what a policy without inline code would stop, and what a text has brought along."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self._inline = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.faults += [f"{tag} {name}" for name in given if name.startswith("on")]
        self.faults += [f"{tag} style"] * ("style" in given)
        for name in ("href", "src", "action"):
            value = given.get(name) or ""
            if value.startswith("javascript:") or value == "x":
                self.faults.append(f"{tag} {name}={value}")
        if tag == "style" or (tag == "script" and "src" not in given):
            self._inline = tag

    def handle_data(self, data: str) -> None:
        if self._inline and data.strip():
            self.faults.append(f"{self._inline}: {data.strip()[:80]}")

    def handle_endtag(self, _tag: str) -> None:
        self._inline = ""


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/system/health", "/api/v1/me", "/api/v1/nothing", "/api/v1/llm/models"),
        *("/api/v1/letta/agents", "/api/schema", "/static/admin/css/base.css", "/metrics", "/"),
        *("/docs", "/redoc", "/admin/login/", "/nothing"),
    ],
)
def test_tells_browsers_to_guess_frame_and_embed_nothing(gateway: str, path: str) -> None:
    headers = httpx.get(f"{gateway}{path}").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "strict-transport-security" not in headers
    policy = headers["content-security-policy"]
    for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    assert "unsafe" not in policy.replace("style-src 'self' 'unsafe-inline'", "", path == "/redoc")
    assert ("script-src" in policy) == (path in {"/docs", "/redoc", "/admin/login/"})
    names = [name for name, _ in headers.multi_items() if name != "vary"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "path", ["/api/v1/llm/models", "/api/v1/me", "/docs", "/static/admin/css/base.css"]
)
@pytest.mark.parametrize(("is_preloaded", "end"), [(False, ""), (True, "; preload")])
def test_wants_tls_where_there_is_some(
    gateway: str, settings: Any, path: str, *, is_preloaded: bool, end: str
) -> None:
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_PRELOAD = 3600, is_preloaded
    plain = httpx.get(f"{gateway}{path}")
    safe = httpx.get(f"{gateway}{path}", headers={"X-Forwarded-Proto": "https"})

    assert "strict-transport-security" not in plain.headers
    expected = f"max-age=3600; includeSubDomains{end}"
    assert safe.headers["strict-transport-security"] == expected


def test_keeps_the_admin_to_its_policy_whatever_it_shows(
    client_for: Callable[[str], httpx.Client], client: Client
) -> None:
    Maker(client_for("alice@example.com")).everything()
    User.objects.update(is_staff=False)
    client.force_login(User.objects.create_superuser("root", "right-password"))
    spoilt = sum(map(_spoil, admin.site._registry))
    shown = 0

    for path in _pages():
        answer = client.get(path)
        if answer.status_code == 200:
            page = answer.content.decode()
            shown += "alert(1)" in page
            assert _Page(page).faults == [], path
    assert spoilt > 50
    assert shown > 25


def _spoil(model: type[models.Model]) -> int:
    """Put the text into every field that takes it, and return how many there are."""
    rows: Any = model._default_manager.all()
    if model is User:
        rows = rows.filter(is_superuser=False)
    return sum(_spoil_field(rows, field) for field in model._meta.concrete_fields)


def _spoil_field(rows: Any, field: models.Field[Any, Any]) -> bool:
    if field.primary_key or field.is_relation or field.choices or field.unique:
        return False
    if isinstance(field, models.JSONField):
        value: Any = {_HOSTILE: [_HOSTILE]}
    elif isinstance(field, models.CharField | models.TextField):
        value = _HOSTILE[: field.max_length]
    else:
        return False
    try:
        with transaction.atomic():
            return bool(rows.update(**{field.name: value}))
    except DatabaseError:  # a constraint, a trigger or the type of the column
        return False


def _pages() -> Iterator[str]:
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        yield reverse(f"{name}_add")
        for row in model._default_manager.all()[:3]:
            for page in ("change", "history", "delete"):
                yield reverse(f"{name}_{page}", args=[row.pk])
    yield from ("/admin/", "/admin/upstreams/", "/admin/password_change/")
