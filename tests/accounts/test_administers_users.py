from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from gateway_core.audit.models import AuditEvent

pytestmark = pytest.mark.django_db
LIST = "admin:accounts_user_changelist"


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root", email="root@example.com")


@pytest.fixture
def alice() -> User:
    return User.objects.create(pk=uuid4(), email="alice@example.com", password="!unusable")


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def admin(root: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(root)


def member(*permissions: str) -> User:
    user = User.objects.create_user(f"staff-{uuid4().hex[:6]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def is_active(user: User) -> bool:
    return User.objects.get(pk=user.pk).is_active


def change(client: Client, user: User) -> Any:
    return client.get(reverse("admin:accounts_user_change", args=[user.pk]))


def act(client: Client, action: str, *users: User, confirmed: bool = True) -> Any:
    data = {"action": action, "_selected_action": [str(user.pk) for user in users]}
    if confirmed:
        data["post"] = "yes"
    return client.post(reverse(LIST), data)


def names(answer: Any) -> set[str]:
    return {str(user) for user in answer.context["cl"].result_list}


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("alice@example.com", {"alice@example.com"}),
        (" Alice@Example.com ", {"alice@example.com"}),
        ("root", {"root"}),
        ("alice", set()),
        ("example.com", set()),
        ("%", set()),
        ("'; drop table users; --", set()),
        ("", {"root", "alice@example.com"}),
    ],
)
def test_finds_users_by_exact_words(term: str, found: set[str], admin: Client, alice: User) -> None:
    del alice
    assert names(admin.get(reverse(LIST), {"q": term})) == found


def test_finds_a_user_by_id(admin: Client, alice: User) -> None:
    assert names(admin.get(reverse(LIST), {"q": str(alice.pk)})) == {"alice@example.com"}
    assert names(admin.get(reverse(LIST), {"q": str(uuid4())})) == set()


def test_filters_users(admin: Client, alice: User) -> None:
    del alice
    assert names(admin.get(reverse(LIST), {"is_staff__exact": "1"})) == {"root"}
    assert names(admin.get(reverse(LIST), {"is_anonymous_user__exact": "1"})) == set()


def test_lists_many_users_in_as_many_queries_as_few(
    admin: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    admin.get(reverse(LIST))
    with django_assert_num_queries(4):
        admin.get(reverse(LIST))
    User.objects.bulk_create(User(email=f"user{number}@example.com") for number in range(50))
    with django_assert_num_queries(4):
        admin.get(reverse(LIST))


def test_shows_no_password_hash_anywhere(
    signed_in: Callable[[User], Client], root: User, alice: User
) -> None:
    root.set_password("a good pass phrase")
    root.save()
    admin = signed_in(root)
    pages = [admin.get(reverse(LIST)), change(admin, root), change(admin, alice)]
    pages.append(admin.get(reverse("admin:accounts_user_history", args=[root.pk])))
    text = "".join(page.content.decode() for page in pages)
    assert [page.status_code for page in pages] == [200] * 4
    assert not re.search(r"pbkdf2|algorithm|!unusable", text)
    assert root.password[30:60] not in text


@pytest.mark.parametrize("lookup", ["password__startswith", "password"])
def test_answers_no_guesses_about_password_hashes(lookup: str, admin: Client) -> None:
    assert admin.get(reverse(LIST), {lookup: "pbkdf2"}).status_code in (302, 400)


def test_adds_staff_who_can_sign_in(admin: Client) -> None:
    answer = admin.post(
        reverse("admin:accounts_user_add"),
        {
            "username": "new-staff",
            "usable_password": "true",
            "password1": "a good pass phrase",
            "password2": "a good pass phrase",
        },
    )
    assert answer.status_code == 302
    user = User.objects.get(username="new-staff")
    assert (user.is_staff, user.is_superuser) == (True, False)
    assert Client().login(username="new-staff", password="a good pass phrase")


def test_changes_a_password_without_showing_one(admin: Client, root: User) -> None:
    other = member()
    page = change(admin, other)
    assert "../password/" in page.content.decode()
    answer = admin.post(
        reverse("admin:auth_user_password_change", args=[other.pk]),
        {
            "usable_password": "true",
            "password1": "another good phrase",
            "password2": "another good phrase",
        },
    )
    assert answer.status_code == 302
    assert Client().login(username=other.username, password="another good phrase")
    assert root.pk != other.pk


def test_does_not_let_staff_edit_what_supabase_says(admin: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(claims_issued_at="2026-01-01T00:00:00Z")
    url = reverse("admin:accounts_user_change", args=[alice.pk])
    admin.post(url, {"email": "mallory@example.com", "username": "", "is_active": ""})
    alice.refresh_from_db()
    assert (alice.email, alice.username, alice.is_active) == ("alice@example.com", None, True)


def test_asks_before_it_suspends_anybody(admin: Client, alice: User) -> None:
    page = act(admin, "suspend", alice, confirmed=False)
    assert page.status_code == 200
    assert "alice@example.com" in page.content.decode()
    assert is_active(alice)


def test_suspends_and_resumes_users_and_records_it(admin: Client, alice: User, root: User) -> None:
    act(admin, "suspend", alice)
    assert not is_active(alice)
    act(admin, "resume", alice)
    assert is_active(alice)
    events = AuditEvent.objects.order_by("id").values_list("action", "user_id", "resource")
    resource = f"user:{alice.pk}"
    assert list(events) == [
        ("user.suspend", root.pk, resource),
        ("user.resume", root.pk, resource),
    ]


def test_nobody_suspends_themselves(admin: Client, root: User) -> None:
    act(admin, "suspend", root)
    assert is_active(root)


def test_staff_with_the_permission_suspend_end_users_and_no_staff(
    signed_in: Callable[[User], Client], alice: User, root: User
) -> None:
    client = signed_in(member("view_user", "suspend_user"))
    act(client, "suspend", alice, root)
    assert (is_active(alice), is_active(root)) == (False, True)


def test_staff_without_the_permission_suspend_nobody(
    signed_in: Callable[[User], Client], alice: User
) -> None:
    act(signed_in(member("view_user", "change_user")), "suspend", alice)
    assert is_active(alice)


def test_staff_can_not_raise_themselves(
    signed_in: Callable[[User], Client], root: User, alice: User
) -> None:
    me = member("view_user", "add_user", "change_user", "delete_user")
    client = signed_in(me)
    assert change(client, alice).status_code == 200
    change_url = reverse("admin:accounts_user_change", args=[me.pk])
    add_url = reverse("admin:accounts_user_add")
    password_url = reverse("admin:auth_user_password_change", args=[root.pk])
    for url in (change_url, add_url, password_url):
        answer = client.post(url, {"is_superuser": "on", "username": "x", "is_staff": "on"})
        assert answer.status_code == 403
    me.refresh_from_db()
    assert not me.is_superuser


def test_nobody_deletes_a_user_here(admin: Client, alice: User) -> None:
    url = reverse("admin:accounts_user_delete", args=[alice.pk])
    assert admin.post(url, {"post": "yes"}).status_code == 403
    act(admin, "delete_selected", alice)
    assert User.objects.filter(pk=alice.pk).exists()


def test_a_suspended_member_of_staff_is_out_at_once(
    signed_in: Callable[[User], Client], admin: Client
) -> None:
    other = member("view_user")
    client = signed_in(other)
    assert client.get(reverse(LIST)).status_code == 200
    act(admin, "suspend", other)
    assert client.get(reverse(LIST)).status_code == 302


def test_end_users_are_not_let_in(signed_in: Callable[[User], Client], alice: User) -> None:
    assert signed_in(alice).get(reverse(LIST)).status_code == 302
    assert Client().get(reverse(LIST)).status_code == 302
