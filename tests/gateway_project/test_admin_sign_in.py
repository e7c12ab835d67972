from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User

pytestmark = pytest.mark.django_db
_LOGIN = "/admin/login/"


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("root", "right-password")


def _sign_in(client: Client, name: str = "root", password: str = "wrong", **extra: Any) -> Any:
    return client.post(_LOGIN, {"username": name, "password": password}, **extra)


@pytest.mark.usefixtures("staff")
def test_lets_staff_in(client: Client) -> None:
    assert _sign_in(client, password="right-password").status_code == 302
    page = client.get("/admin/")
    assert page.status_code == 200
    assert "AI Agent Gateway" in page.content.decode()


def test_keeps_out_who_is_not_staff(client: Client) -> None:
    User.objects.create_user("alice", "right-password")

    response = _sign_in(client, "alice", "right-password")

    assert response.status_code == 200
    assert "staff account" in response.content.decode()
    assert client.get("/admin/").status_code == 302


@pytest.mark.usefixtures("staff")
def test_refuses_even_the_right_password_after_too_many_attempts(client: Client) -> None:
    for _ in range(10):
        assert _sign_in(client).status_code == 200

    response = _sign_in(client, password="right-password")

    assert response.status_code == 429
    assert "Too many attempts to sign in. Try again in" in response.content.decode()
    assert client.get("/admin/").status_code == 302


@pytest.mark.usefixtures("staff")
def test_takes_names_that_differ_in_case_for_one(client: Client) -> None:
    for name in ("root", "ROOT", " Root ") * 4:
        response = _sign_in(client, name)

    assert response.status_code == 429


@pytest.mark.usefixtures("staff")
def test_lets_the_same_name_in_from_another_address(client: Client) -> None:
    for _ in range(11):
        _sign_in(client, REMOTE_ADDR="203.0.113.7")

    response = _sign_in(client, password="right-password", REMOTE_ADDR="203.0.113.8")

    assert response.status_code == 302


def test_stops_one_address_that_tries_many_names(client: Client) -> None:
    statuses = [_sign_in(client, f"name-{number}", "").status_code for number in range(61)]

    assert statuses[:60] == [200] * 60
    assert statuses[60] == 429


@pytest.mark.usefixtures("staff", "without_valkey")
def test_goes_on_guarding_when_valkey_is_gone(client: Client) -> None:
    for _ in range(10):
        assert _sign_in(client).status_code == 200

    assert _sign_in(client).status_code == 429
