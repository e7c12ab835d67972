from __future__ import annotations

from uuid import UUID

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.db import IntegrityError
from pytest_django import Settings

from accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hash_passwords_fast(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def test_createsuperuser_makes_somebody_who_can_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a good pass phrase")
    call_command("createsuperuser", username="root", interactive=False, verbosity=0)
    user = authenticate(username="root", password="a good pass phrase")
    assert isinstance(user, User)
    assert isinstance(user.pk, UUID)
    assert (user.is_staff, user.is_superuser, user.is_active) == (True, True, True)


def test_many_users_have_no_username_and_one_e_mail() -> None:
    for _ in range(2):
        User.objects.create(email="shared@example.com")
    assert User.objects.filter(username=None, email="shared@example.com").count() == 2


def test_no_two_users_have_one_username() -> None:
    User.objects.create_user("root")
    with pytest.raises(IntegrityError):
        User.objects.create_user("root")


def test_staff_need_a_username() -> None:
    with pytest.raises(ValueError, match="username"):
        User.objects.create_user("")


@pytest.mark.parametrize("password", [None, "", "!", "password"])
def test_nobody_signs_in_as_an_end_user(password: str | None) -> None:
    User.objects.create(email="alice@example.com", password="")
    for username in (None, "", "alice@example.com"):
        assert authenticate(username=username, password=password) is None


def test_a_suspended_member_of_staff_can_not_sign_in() -> None:
    User.objects.create_user("root", "a good pass phrase", is_staff=True, is_active=False)
    assert authenticate(username="root", password="a good pass phrase") is None


def test_prints_who_it_is_and_no_secret() -> None:
    user = User(username="root", email="root@example.com", password="pbkdf2$secret")
    assert str(user) == "root"
    assert str(User(email="alice@example.com")) == "alice@example.com"
    assert str(User(id=UUID(int=7))) == str(UUID(int=7))
    assert "secret" not in repr(user)
