from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from accounts.models import User
from accounts.principals.identify import identify_token_sync
from accounts.sessions.models import Denial, DenialReason
from accounts.sessions.services import deny_user
from accounts.supabase import client, sync
from gateway_core import cache
from gateway_core.advisory import only_one
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import AccountSuspended, TokenRejected
from gateway_project.sandbox.supabase import PUBLISHABLE_KEY, SECRET_KEY
from tests.conftest import RunningSupabase

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "^/auth/v1/admin/users$"
ONE = "^/auth/v1/admin/users/"
BANNED, GONE = DenialReason.BANNED, DenialReason.GONE


@pytest.fixture(autouse=True)
def _remember_nobody() -> Iterator[None]:
    cache.clear_all()
    yield
    cache.clear_all()


class Person:
    """Somebody with an account at Supabase who has used the gateway."""

    def __init__(self, supabase: RunningSupabase, email: str) -> None:
        self.supabase = supabase
        self.token = supabase.token(email).encode()
        self.id = identify_token_sync(self.token).user_id

    @property
    def row(self) -> User:
        return User.objects.get(pk=self.id)

    def change(self, **changes: Any) -> None:
        headers = {"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"}
        target = f"/auth/v1/admin/users/{self.id}"
        self.supabase.client.put(target, json=changes, headers=headers).raise_for_status()

    def is_in(self) -> bool:
        cache.clear_all()
        try:
            identify_token_sync(self.token)
        except (AccountSuspended, TokenRejected):
            return False
        return True


@pytest.fixture
def alice(supabase: RunningSupabase) -> Person:
    return Person(supabase, "alice@example.com")


@pytest.fixture
def bob(alice: Person) -> Person:
    return Person(alice.supabase, "bob@example.com")


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("sync_users", *arguments, stdout=out)
    return out.getvalue()


def last_line(*arguments: str) -> str:
    return run(*arguments).splitlines()[-1]


def reasons(person: Person) -> set[str]:
    return set(Denial.objects.filter(user_id=person.id).values_list("reason", flat=True))


def test_takes_over_names_and_addresses(alice: Person, bob: Person) -> None:
    alice.change(email="alice@new.example.com", user_metadata={"full_name": "Alice Liddell"})
    assert last_line().startswith("2 users: 1 changed, ")
    assert (alice.row.email, alice.row.display_name) == ("alice@new.example.com", "Alice Liddell")
    assert (bob.row.email, bob.row.display_name) == ("bob@example.com", "")
    assert last_line().startswith("2 users: 0 changed, ")


@pytest.mark.parametrize("named", ["id", "address"])
def test_takes_over_what_is_new_of_one_user_alone(alice: Person, bob: Person, named: str) -> None:
    for person in (alice, bob):
        person.change(ban_duration="24h", user_metadata={"full_name": "New"})
    asked_for = str(alice.id) if named == "id" else "ALICE@example.com"

    assert last_line(asked_for).startswith("1 users: 1 changed, 0 made, 1 banned, ")

    assert (alice.row.display_name, reasons(alice)) == ("New", {BANNED})
    assert (bob.row.display_name, reasons(bob)) == ("", set())


def test_notes_that_one_user_is_gone_but_takes_nobody_else_for_gone(
    alice: Person, bob: Person
) -> None:
    client.delete_user(alice.id)
    staff = User.objects.create_superuser("root")
    for other in (uuid4(), staff.pk):
        run(str(other))
    assert not Denial.objects.exists()

    assert " 1 deleted, " in last_line(str(alice.id))

    assert (reasons(alice), reasons(bob)) == ({GONE}, set())
    with pytest.raises(CommandError, match="Nobody has that e-mail address"):
        run("nobody@example.com")


def test_takes_over_that_somebody_is_no_longer_anonymous(supabase: RunningSupabase) -> None:
    person = Person(supabase, "")
    assert person.row.is_anonymous_user
    user = supabase.client.get(
        f"/auth/v1/admin/users/{person.id}",
        headers={"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"},
    ).json()
    known = {**user, "is_anonymous": False, "email": "now@example.com"}
    supabase.fault(LIST, times=2, status=200, body={"users": [known]})
    supabase.fault(LIST, status=200, body={"users": []})
    run()
    assert (person.row.is_anonymous_user, person.row.email) == (False, "now@example.com")


def test_lets_no_older_token_undo_what_it_took_over(
    alice: Person, supabase: RunningSupabase
) -> None:
    now = timezone.now()
    User.objects.filter(pk=alice.id).update(claims_issued_at=now - timedelta(minutes=2))
    earlier = supabase.token("alice@example.com", iat=int(now.timestamp()) - 60)
    alice.change(email="alice@new.example.com")
    run()
    cache.clear_all()
    assert identify_token_sync(earlier.encode()).email == "alice@new.example.com"


def test_undoes_nothing_that_a_token_has_told_meanwhile(alice: Person) -> None:
    alice.change(email="alice@new.example.com")
    later = timezone.now() + timedelta(minutes=1)
    User.objects.filter(pk=alice.id).update(email="newest@example.com", claims_issued_at=later)
    run()
    assert (alice.row.email, alice.row.claims_issued_at) == ("newest@example.com", later)


def test_makes_nobody_who_has_not_been_here(alice: Person, supabase: RunningSupabase) -> None:
    supabase.token("stranger@example.com")
    assert last_line().endswith("1 not here yet")
    assert User.objects.get().pk == alice.id


def test_makes_them_where_that_is_wanted(alice: Person, supabase: RunningSupabase) -> None:
    token = supabase.token("stranger@example.com").encode()
    assert " 1 made, " in last_line("--create")
    stranger = User.objects.exclude(pk=alice.id).get()
    assert (stranger.email, stranger.is_active, stranger.is_staff) == (
        "stranger@example.com",
        True,
        False,
    )
    assert not stranger.has_usable_password()
    assert identify_token_sync(token).user_id == stranger.pk
    assert " 0 made, " in last_line("--create")


def test_makes_nobody_again_who_was_erased(alice: Person) -> None:
    deny_user(user_id=alice.id, reason=DenialReason.ERASED, by=None)
    User.objects.all().delete()
    assert " 0 made, " in last_line("--create")
    assert not User.objects.exists()


def test_shuts_out_whom_supabase_has_banned_until_the_ban_is_over(alice: Person) -> None:
    client.ban_user(alice.id, timedelta(hours=2))
    output = run()
    assert "1 banned" in output
    assert f"deny user {alice.id}: banned at Supabase until " in output
    denial = Denial.objects.get()
    assert denial.until is not None
    assert abs(denial.until - timezone.now() - timedelta(hours=2)) < timedelta(minutes=1)
    assert not alice.is_in()
    assert alice.row.is_active
    assert ", 0 banned" in last_line()


def test_lets_in_again_whose_ban_was_lifted(alice: Person) -> None:
    client.ban_user(alice.id)
    run()
    client.unban_user(alice.id)
    assert ", 1 no longer banned" in last_line()
    assert alice.is_in()
    events = AuditEvent.objects.order_by("id").values_list("action", "user_id", "facts__reason")
    assert list(events) == [("user.deny", None, "banned"), ("user.allow", None, "banned")]


def test_prolongs_and_shortens_a_ban(alice: Person) -> None:
    client.ban_user(alice.id, timedelta(hours=1))
    run()
    client.ban_user(alice.id, timedelta(hours=5))
    assert ", 1 banned" in last_line()
    until = Denial.objects.get().until
    assert until is not None
    assert until > timezone.now() + timedelta(hours=4)


def test_bans_again_when_an_earlier_ban_is_over(alice: Person) -> None:
    over = timezone.now() - timedelta(seconds=1)
    Denial.objects.create(user_id=alice.id, reason=BANNED, until=over)
    client.ban_user(alice.id)
    assert ", 1 banned" in last_line()
    assert not alice.is_in()


def test_says_nothing_of_a_ban_that_has_run_out(alice: Person) -> None:
    over = timezone.now() - timedelta(seconds=1)
    Denial.objects.create(user_id=alice.id, reason=BANNED, until=over)
    assert ", 0 no longer banned" in last_line()
    assert not AuditEvent.objects.exists()


def test_keeps_what_staff_have_decided(alice: Person, bob: Person) -> None:
    staff = User.objects.create_superuser("root")
    services.suspend_user(user_id=alice.id, by=staff)
    deny_user(user_id=bob.id, by=staff)
    for person in (alice, bob):
        client.ban_user(person.id)
    run()
    for person in (alice, bob):
        client.unban_user(person.id)
    run()
    assert reasons(bob) == {"staff"}
    assert not alice.row.is_active
    assert (alice.is_in(), bob.is_in()) == (False, False)


def test_shuts_out_a_banned_user_who_has_not_been_here(supabase: RunningSupabase) -> None:
    minted = supabase.mint(email="stranger@example.com")
    client.ban_user(UUID(minted["session"]["user"]["id"]))
    run()
    with pytest.raises(AccountSuspended):
        identify_token_sync(minted["access_token"].encode())
    assert not User.objects.exists()


def test_shuts_out_whom_supabase_has_deleted(alice: Person, bob: Person) -> None:
    client.delete_user(alice.id)
    assert ", 1 deleted" in last_line()
    assert reasons(alice) == {"gone"}
    assert (alice.is_in(), bob.is_in()) == (False, True)
    assert alice.row.email == "alice@example.com"
    alice.supabase.client.delete("/_sandbox/requests")
    assert ", 0 deleted" in last_line()
    assert not alice.supabase.requests(ONE)


def test_shuts_out_whom_supabase_has_deleted_softly(alice: Person, bob: Person) -> None:
    client.delete_user(alice.id, softly=True)
    assert ", 1 deleted" in last_line()
    assert (alice.is_in(), bob.is_in()) == (False, True)
    assert alice.row.email == "alice@example.com"
    assert ", 0 deleted" in last_line()


def test_lets_in_again_who_is_back(alice: Person, supabase: RunningSupabase) -> None:
    client.delete_user(alice.id)
    run()
    headers = {"apikey": SECRET_KEY, "authorization": f"Bearer {SECRET_KEY}"}
    body = {"id": str(alice.id), "email": "alice@example.com"}
    supabase.client.post("/auth/v1/admin/users", json=body, headers=headers).raise_for_status()
    assert ", 1 back" in last_line()
    assert alice.is_in()


def test_leaves_staff_alone_who_never_came_from_supabase(alice: Person) -> None:
    staff = User.objects.create_superuser("root")
    run()
    assert not Denial.objects.exists()
    assert User.objects.filter(pk=staff.pk, is_active=True).exists()
    assert alice.is_in()


def test_asks_for_whom_the_listing_left_out_before_they_count_as_gone(
    alice: Person, bob: Person
) -> None:
    listed = client.find_user(alice.id)
    assert listed is not None
    bob.change(user_metadata={"name": "Bob"})
    client.ban_user(bob.id)
    body = {"id": str(alice.id), "email": listed.email, "updated_at": "2026-11-23T01:33:15Z"}
    alice.supabase.fault(LIST, times=2, status=200, body={"users": [body]})
    alice.supabase.fault(LIST, status=200, body={"users": []})
    assert ", 0 deleted" in last_line()
    assert len(alice.supabase.requests(ONE)) > 0
    assert (bob.row.display_name, reasons(bob)) == ("Bob", {"banned"})


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"garbage": True},
        {"cut_after": 0},
        {"status": 200, "body": {"users": [{}]}},
    ],
    ids=["500", "garbage", "cut", "half"],
)
def test_takes_nobody_for_gone_when_the_listing_breaks_off(
    fault: dict[str, Any], supabase: RunningSupabase
) -> None:
    people = [Person(supabase, f"user{number}@example.com") for number in range(4)]
    people[3].change(user_metadata={"name": "The newest"})
    client.delete_user(people[0].id)
    break_off_after(supabase, 2, fault)
    with pytest.raises(CommandError, match="Nobody was taken for deleted"):
        run("--batch-size", "1")
    assert people[3].row.display_name == "The newest"
    assert not Denial.objects.exists()
    supabase.mend()
    assert ", 1 deleted" in last_line()


def break_off_after(supabase: RunningSupabase, calls: int, fault: dict[str, Any]) -> None:
    """Have so many calls of the list go well, counting included, and the next one go wrong."""
    for _ in range(calls):
        supabase.fault(LIST, times=1, delay=0)
    supabase.fault(LIST, **fault)


def test_takes_nobody_for_gone_when_supabase_can_not_say(alice: Person, bob: Person) -> None:
    client.delete_user(alice.id)
    bob.supabase.fault(ONE, status=503)
    with pytest.raises(CommandError, match="Nobody was taken for deleted"):
        run()
    assert not Denial.objects.exists()


def test_takes_nobody_for_gone_at_an_address_that_is_not_supabase(
    alice: Person, bob: Person
) -> None:
    client.delete_user(alice.id)
    bob.supabase.fault(ONE, status=404, body={"message": "no Route matched"})
    with pytest.raises(CommandError, match="Nobody was taken for deleted"):
        run()
    assert not Denial.objects.exists()


def test_takes_no_other_project_for_a_mass_deletion(supabase: RunningSupabase) -> None:
    people = [Person(supabase, f"user{number}@example.com") for number in range(4)]
    for person in people[:3]:
        client.delete_user(person.id)
    with pytest.raises(CommandError, match="3 of 4 users are missing at Supabase, and 2 is"):
        run()
    assert not Denial.objects.exists()
    assert not supabase.requests(ONE)[3:]
    assert ", 3 deleted" in last_line("--most-gone", "3")


def test_changes_nothing_in_a_dry_run(supabase: RunningSupabase) -> None:
    people = [Person(supabase, f"{name}@example.com") for name in ("a", "b", "c", "d")]
    client.ban_user(people[3].id)
    run()
    before = list(User.objects.order_by("pk").values()), list(Denial.objects.values())
    events = AuditEvent.objects.count()
    people[0].change(user_metadata={"name": "A"})
    client.ban_user(people[1].id)
    client.delete_user(people[2].id)
    client.unban_user(people[3].id)
    supabase.token("stranger@example.com")
    output = run("--dry-run", "--create")
    expected = "4 users: 1 changed, 1 made, 1 banned, 1 no longer banned, 1 deleted, 0 back, "
    assert expected in output
    assert output.endswith("; nothing was changed\n")
    assert f"deny user {people[2].id}: deleted at Supabase\n" in output
    assert f"allow user {people[3].id}: banned at Supabase until " in output
    after = list(User.objects.order_by("pk").values()), list(Denial.objects.values())
    assert after == before
    assert AuditEvent.objects.count() == events
    assert expected in run("--create")


def test_says_only_the_last_line_when_it_should_be_quiet(alice: Person) -> None:
    client.ban_user(alice.id)
    assert len(run("--verbosity", "0").splitlines()) == 1


def test_does_10_000_users_with_few_queries_for_each_page(supabase: RunningSupabase) -> None:
    count, page = 10_000, 500
    answer = supabase.client.post("/_sandbox/users", json={"count": count}, timeout=60)
    ids = [UUID(user_id) for user_id in answer.json()["ids"]]
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    User.objects.bulk_create(
        User(pk=user_id, email=f"old{number}@example.com", claims_issued_at=long_ago)
        for number, user_id in enumerate(ids)
    )
    client.delete_user(ids[7])
    with CaptureQueriesContext(connection) as queries:
        line = last_line("--batch-size", str(page))
    assert line.startswith(f"{count - 1} users: {count - 1} changed, ")
    assert ", 1 deleted" in line
    assert len(queries) <= 8 * math.ceil(count / page) + 30
    assert User.objects.filter(email__startswith="old").get().pk == ids[7]
    with CaptureQueriesContext(connection) as queries:
        assert ": 0 changed, " in last_line("--batch-size", str(page))
    assert len(queries) <= 6 * math.ceil(count / page) + 30


def test_runs_alone(alice: Person) -> None:
    del alice

    def try_meanwhile() -> str:
        try:
            run()
        except CommandError as error:
            return str(error)
        finally:
            connection.close()
        return ""

    with only_one("sync_users"), ThreadPoolExecutor(1) as pool:
        assert "under way" in pool.submit(try_meanwhile).result()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SUPABASE_URL", "", "SUPABASE_URL is not set"),
        ("SUPABASE_SERVICE_KEY", "", "SUPABASE_SERVICE_KEY is not set"),
        ("SUPABASE_SERVICE_KEY", PUBLISHABLE_KEY, "publishable key"),
        ("SUPABASE_SERVICE_KEY", "sb_secret_wrong", "refuses SUPABASE_SERVICE_KEY"),
    ],
)
@pytest.mark.usefixtures("supabase")
def test_explains_bad_settings(name: str, value: str, complaint: str, settings: Any) -> None:
    setattr(settings, name, value)
    with pytest.raises(CommandError, match=complaint):
        run()


@pytest.mark.parametrize(
    "arguments", [("--batch-size", "0"), ("--batch-size", "5000"), ("--most-gone", "-1")]
)
def test_explains_bad_options(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match=arguments[0]):
        run(*arguments)


def test_can_be_repeated_after_it_was_interrupted(alice: Person, bob: Person) -> None:
    def interrupt(_count: int) -> None:
        raise KeyboardInterrupt

    client.delete_user(alice.id)
    bob.change(user_metadata={"name": "Bob"})
    with pytest.raises(KeyboardInterrupt):
        sync.sync_users(sync.Wish(show=interrupt))
    assert (bob.row.display_name, reasons(alice)) == ("Bob", set())
    assert ", 1 deleted" in last_line()
