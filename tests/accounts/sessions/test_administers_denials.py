from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from accounts.sessions.models import Denial, DenialReason
from accounts.sessions.services import deny_user
from gateway_core.audit.models import AuditEvent

pytestmark = pytest.mark.django_db
LIST, ADD = "admin:accounts_denial_changelist", "admin:accounts_denial_add"
SignedIn = Callable[[User], Client]


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root", email="root@example.com")


@pytest.fixture
def alice() -> User:
    return User.objects.create(pk=uuid4(), email="alice@example.com")


@pytest.fixture
def signed_in() -> SignedIn:
    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def admin(root: User, signed_in: SignedIn) -> Client:
    return signed_in(root)


def member(*permissions: str) -> User:
    user = User.objects.create_user(f"staff-{uuid4().hex[:6]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def add(client: Client, user_id: UUID | str, **fields: str) -> Any:
    form = {"user_id": str(user_id), "session_id": "", "until_0": "", "until_1": "", "note": ""}
    return client.post(reverse(ADD), {**form, **fields})


def complaints(answer: Any) -> dict[str, list[str]]:
    return dict(answer.context["adminform"].form.errors)


def delete(client: Client, denial: Denial) -> Any:
    url = reverse("admin:accounts_denial_delete", args=[denial.pk])
    return client.post(url, {"post": "yes"})


def delete_selected(client: Client, *denials: Denial) -> Any:
    data = {
        "action": "delete_selected",
        "_selected_action": [str(denial.pk) for denial in denials],
        "post": "yes",
    }
    return client.post(reverse(LIST), data)


def test_denies_a_user_and_records_it(admin: Client, alice: User) -> None:
    assert add(admin, alice.pk, note="spam").status_code == 302
    denial = Denial.objects.get()
    assert (denial.user_id, denial.session_id, denial.reason) == (alice.pk, None, "staff")
    assert (denial.until, denial.note) == (None, "spam")
    event = AuditEvent.objects.get(action="user.deny")
    assert (event.user_email, event.resource) == ("root@example.com", f"user:{alice.pk}")


def test_denies_a_session_until_a_time(admin: Client, alice: User) -> None:
    session_id, until = uuid4(), timezone.now() + timedelta(days=2)
    add(
        admin,
        alice.pk,
        session_id=str(session_id),
        until_0=f"{until:%Y-%m-%d}",
        until_1=f"{until:%H:%M:%S}",
    )
    denial = Denial.objects.get()
    assert (denial.user_id, denial.session_id) == (alice.pk, session_id)
    assert denial.until == until.replace(microsecond=0)


def test_denies_somebody_who_has_not_been_here(admin: Client) -> None:
    stranger = uuid4()
    add(admin, stranger)
    assert Denial.objects.get().user_id == stranger


def test_decides_anew_about_a_user_who_is_denied_already(admin: Client, alice: User) -> None:
    add(admin, alice.pk, note="one")
    assert add(admin, alice.pk, note="two").status_code == 302
    assert Denial.objects.get().note == "two"


@pytest.mark.parametrize("user_id", ["", "alice@example.com", "7", "'; drop table users; --"])
def test_wants_a_whole_user_id(user_id: str, admin: Client) -> None:
    assert "user_id" in complaints(add(admin, user_id))
    assert not Denial.objects.exists()


def test_refuses_what_is_over_before_it_began(admin: Client, alice: User) -> None:
    answer = add(admin, alice.pk, until_0="2026-01-01", until_1="00:00:00")
    assert complaints(answer) == {"until": ["That is over."]}


def test_says_that_a_session_is_denied_already(admin: Client, alice: User) -> None:
    session_id = str(uuid4())
    add(admin, alice.pk, session_id=session_id)
    answer = add(admin, alice.pk, session_id=session_id)
    assert complaints(answer) == {"__all__": ["This session is denied already."]}


def test_lifts_denials_and_records_it(admin: Client, alice: User) -> None:
    one = deny_user(user_id=alice.pk, by=None)
    other = deny_user(user_id=alice.pk, reason=DenialReason.BANNED, by=None)
    third = deny_user(user_id=uuid4(), by=None)
    assert delete(admin, one).status_code == 302
    delete_selected(admin, other, third)
    assert not Denial.objects.exists()
    events = AuditEvent.objects.filter(action="user.allow").values_list("user_email", flat=True)
    assert list(events) == ["root@example.com"] * 3


def test_changes_none(admin: Client, alice: User) -> None:
    denial = deny_user(user_id=alice.pk, by=None)
    url = reverse("admin:accounts_denial_change", args=[denial.pk])
    assert admin.get(url).status_code == 200
    assert admin.post(url, {"user_id": str(uuid4())}).status_code == 403
    assert Denial.objects.get().user_id == alice.pk


def test_nobody_shuts_themselves_out(admin: Client, root: User) -> None:
    assert complaints(add(admin, root.pk)) == {"user_id": ["That is you."]}


def test_nobody_lets_themselves_in(signed_in: SignedIn) -> None:
    me = member("view_denial", "add_denial", "delete_denial")
    client = signed_in(me)
    denial = deny_user(user_id=me.pk, by=None)
    assert delete(client, denial).status_code == 403
    delete_selected(client, denial)
    assert Denial.objects.exists()


def test_only_superusers_shut_staff_out(
    signed_in: SignedIn, admin: Client, root: User, alice: User
) -> None:
    me, other = member("view_denial", "add_denial"), member()
    for target in (root, other):
        answer = add(signed_in(me), target.pk)
        assert complaints(answer) == {"user_id": ["Only a superuser shuts staff out."]}
    assert add(signed_in(me), alice.pk).status_code == 302
    assert add(admin, other.pk).status_code == 302


def test_wants_the_permission(signed_in: SignedIn, alice: User) -> None:
    denial = deny_user(user_id=alice.pk, by=None)
    client = signed_in(member("view_denial"))
    assert client.get(reverse(LIST)).status_code == 200
    assert add(client, alice.pk).status_code == 403
    assert delete(client, denial).status_code == 403
    assert signed_in(member()).get(reverse(LIST)).status_code == 403


@pytest.mark.parametrize(
    ("term", "found"),
    [("alice@example.com", 1), (" Alice@Example.com ", 1), ("alice", 0), ("%", 0), ("", 2)],
)
def test_finds_denials_by_exact_words(term: str, found: int, admin: Client, alice: User) -> None:
    deny_user(user_id=alice.pk, by=None)
    deny_user(user_id=uuid4(), by=None)
    answer: Any = admin.get(reverse(LIST), {"q": term})
    assert len(answer.context["cl"].result_list) == found


def test_finds_denials_by_user_and_session(admin: Client) -> None:
    one = Denial.objects.create(user_id=uuid4(), session_id=uuid4())
    Denial.objects.create(user_id=uuid4(), session_id=uuid4())
    for term in (one.user_id, one.session_id):
        answer: Any = admin.get(reverse(LIST), {"q": str(term)})
        assert list(answer.context["cl"].result_list) == [one]


def test_lists_many_in_as_many_queries_as_few(
    admin: Client, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    deny_user(user_id=alice.pk, by=None)
    admin.get(reverse(LIST))
    with django_assert_num_queries(4):
        assert "alice@example.com" in admin.get(reverse(LIST)).content.decode()
    Denial.objects.bulk_create(Denial(user_id=uuid4()) for _ in range(50))
    with django_assert_num_queries(4):
        admin.get(reverse(LIST))


def test_shows_at_a_user_what_keeps_them_out(admin: Client, alice: User) -> None:
    url = reverse("admin:accounts_user_change", args=[alice.pk])
    assert "nothing" in admin.get(url).content.decode()
    denial = deny_user(user_id=alice.pk, reason=DenialReason.BANNED, by=None)
    page = admin.get(url).content.decode()
    assert "banned at Supabase" in page
    assert reverse("admin:accounts_denial_change", args=[denial.pk]) in page


def test_shows_a_name_as_text(admin: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(display_name="<script>alert(1)</script>")
    url = reverse("admin:accounts_user_change", args=[alice.pk])
    assert "<script>alert(1)" not in admin.get(url).content.decode()
