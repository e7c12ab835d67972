from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts import services
from accounts.models import User
from accounts.sessions.models import Denial, DenialReason
from accounts.sessions.services import deny_user
from accounts.supabase import client as supabase_client
from accounts.supabase.answers import TokenState
from tests.conftest import RunningSupabase

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _wanted(settings: Any) -> None:
    settings.SUPABASE_BAN_SUSPENDED = True


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def alice(supabase: RunningSupabase) -> tuple[User, bytes]:
    minted = supabase.mint(email="alice@example.com")
    user_id = UUID(minted["session"]["user"]["id"])
    user = User.objects.create(pk=user_id, email="alice@example.com")
    return user, minted["access_token"].encode()


def act(client: Client, action: str, user: User) -> str:
    """Take an action on a user and return what the admin says of it."""
    data = {"action": action, "_selected_action": [str(user.pk)], "post": "yes"}
    answer = client.post(reverse("admin:accounts_user_changelist"), data, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def is_active(user: User) -> bool:
    return User.objects.get(pk=user.pk).is_active


def test_bans_with_a_suspension_and_lifts_the_ban_with_it(
    admin: Client, alice: tuple[User, bytes]
) -> None:
    user, token = alice
    assert act(admin, "suspend", user) == "1 of 1 changed."
    assert supabase_client.state_of(token)[0] is TokenState.BANNED
    act(admin, "resume", user)
    assert supabase_client.state_of(token)[0] is TokenState.GOOD


def test_takes_off_the_deny_list_what_the_ban_had_put_there(
    admin: Client, alice: tuple[User, bytes]
) -> None:
    user, _ = alice
    act(admin, "suspend", user)
    deny_user(user_id=user.pk, reason=DenialReason.BANNED, by=None)
    deny_user(user_id=user.pk, by=None)
    act(admin, "resume", user)
    assert Denial.objects.get().reason == "staff"


def test_leaves_supabase_alone_unless_that_is_wanted(
    admin: Client, alice: tuple[User, bytes], settings: Any, supabase: RunningSupabase
) -> None:
    settings.SUPABASE_BAN_SUSPENDED = False
    act(admin, "suspend", alice[0])
    assert not is_active(alice[0])
    assert not supabase.requests("admin/users")


def test_suspends_here_also_when_supabase_is_away_and_says_so(
    admin: Client, alice: tuple[User, bytes], supabase: RunningSupabase
) -> None:
    user, token = alice
    supabase.fault("admin/users", status=500)
    said = act(admin, "suspend", user)
    assert "1 of 1 changed." in said
    assert "Supabase could not be told of 1." in said
    assert not is_active(user)
    supabase.mend()
    assert act(admin, "suspend", user) == "0 of 1 changed."
    assert supabase_client.state_of(token)[0] is TokenState.BANNED


def test_suspends_somebody_whom_supabase_does_not_know(
    admin: Client, supabase: RunningSupabase
) -> None:
    user = User.objects.create(pk=uuid4())
    assert act(admin, "suspend", user) == "1 of 1 changed."
    assert act(admin, "resume", user) == "1 of 1 changed."
    assert len(supabase.requests("admin/users")) == 2


@pytest.mark.parametrize("is_wanted", [True, False])
def test_says_so_before_it_is_done(
    *, is_wanted: bool, admin: Client, alice: tuple[User, bytes], settings: Any
) -> None:
    settings.SUPABASE_BAN_SUSPENDED = is_wanted
    data = {"action": "suspend", "_selected_action": [str(alice[0].pk)]}
    page = admin.post(reverse("admin:accounts_user_changelist"), data).content.decode()
    assert ("Supabase is told as well" in page) is is_wanted


def test_is_no_part_of_the_suspension_itself(
    alice: tuple[User, bytes], supabase: RunningSupabase
) -> None:
    staff = User.objects.create_superuser("root")
    services.suspend_user(user_id=alice[0].pk, by=staff)
    assert not supabase.requests("admin/users")
