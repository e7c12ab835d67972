from __future__ import annotations

import threading
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from gateway_core.advisory import only_one
from gateway_core.audit.events import new_id
from gateway_core.audit.models import AuditBatch, AuditEvent
from gateway_core.audit.months import Month
from gateway_project.cleaning import CHORES, Chore
from letta_proxy.models import LettaAccount
from llm_proxy.api_keys import services
from llm_proxy.api_keys.models import State
from llm_proxy.models import ApiKey, UsageRecord, VirtualKey
from llm_proxy.virtual_keys.standing import installation_id
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks

pytestmark = pytest.mark.django_db(transaction=True)


def cleanup(*options: str) -> str:
    output = StringIO()
    call_command("cleanup", *options, stdout=output, stderr=StringIO())
    return output.getvalue().strip()


def chore(name: str) -> Chore:
    (found,) = [one for one in CHORES if one.name == name]
    return found


def days_ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def event(days: float) -> AuditEvent:
    at = days_ago(days)
    return AuditEvent.objects.create(pk=UUID(new_id(at)), at=at, plane="data", action="models")


def usage(days: float) -> UsageRecord:
    user = User.objects.create(pk=uuid4(), email=f"{uuid4().hex}@example.com")
    return UsageRecord.objects.create(pk=uuid4(), at=days_ago(days), user_id=user.pk)


@pytest.fixture
def alice() -> User:
    return User.objects.create(pk=uuid4(), email="alice@example.com")


def make_key(user: User, **columns: Any) -> ApiKey:
    key = services.create_api_key(user=user, traits={"name": "cron", "scopes": ["llm"]}).key
    ApiKey.objects.filter(pk=key.pk).update(**columns)
    AuditEvent.objects.all().delete()
    return key


def test_deletes_what_is_past_its_retention(settings: Settings) -> None:
    settings.AUDIT_RETENTION_DAYS, settings.USAGE_RETENTION_DAYS = 30, 90
    kept_event, kept_usage = event(29.9), usage(89.9)
    for days in (62, 63, 400):  # a month ends up to 31 days after an event of it
        event(days)
    for old in (90.1, 91, 460):
        usage(old)
    months = {Month.of(days_ago(days)) for days in (62, 63, 400)}

    said = cleanup()

    assert f"{len(months)} old months of audit events, 3 old usage records" in said
    assert AuditEvent.objects.get().at == kept_event.at
    # What said so of the months before has gone with them.
    assert AuditBatch.objects.get().notes["month"] == str(max(months))
    assert UsageRecord.objects.get() == kept_usage


def test_deletes_what_was_recorded_of_users_after_they_were_erased() -> None:
    theirs, others = usage(0.1), usage(0.1)
    User.objects.get(pk=theirs.user_id).delete()

    assert "1 usage records of erased users" in cleanup()
    assert UsageRecord.objects.get() == others


def test_keeps_everything_when_retention_is_nothing(settings: Settings) -> None:
    settings.AUDIT_RETENTION_DAYS = settings.USAGE_RETENTION_DAYS = 0
    event(9999)
    usage(9999)
    cleanup()

    assert AuditEvent.objects.count() == UsageRecord.objects.count() == 1


@pytest.mark.usefixtures("letta", "litellm")
def test_a_dry_run_only_counts(settings: Settings, alice: User) -> None:
    settings.AUDIT_RETENTION_DAYS = 30
    make_key(alice, expires_at=days_ago(1))
    event(62)

    said = cleanup("--dry-run")

    assert said.startswith("to do: 1 expired API keys")
    assert f"1 ({Month.of(days_ago(62))}) old months of audit events" in said
    assert AuditEvent.objects.count() == 1
    assert ApiKey.objects.get().revoked_at is None


def test_deletes_in_batches_that_are_each_done(settings: Settings) -> None:
    settings.USAGE_RETENTION_DAYS = 30
    for days in range(31, 36):
        usage(days)
    left: list[int] = []

    def count_elsewhere() -> None:
        left.append(UsageRecord.objects.count())
        connection.close()

    sizes = []
    for size in chore("old usage records").run(2):
        sizes.append(size)
        other = threading.Thread(target=count_elsewhere)
        other.start()
        other.join()

    assert sizes == [2, 2, 1]
    assert left == [3, 1, 0]


def test_revokes_expired_keys(alice: User) -> None:
    dead = [make_key(alice, expires_at=days_ago(days)) for days in (1, 2, 3)]
    alive = make_key(alice, expires_at=days_ago(-1))

    assert "3 expired API keys" in cleanup("--batch-size", "2")
    revoked = ApiKey.objects.exclude(revoked_at=None)
    assert {key.pk for key in revoked} == {key.pk for key in dead}
    assert {key.state(timezone.now()) for key in revoked} == {State.EXPIRED}
    assert alive.pk not in {key.pk for key in revoked}
    events = AuditEvent.objects.filter(action="api_key.revoke", user_id=None)
    assert events.count() == 3


def test_forgets_revoked_keys_with_their_usage(settings: Settings, alice: User) -> None:
    settings.USAGE_RETENTION_DAYS = 90
    make_key(alice, revoked_at=days_ago(91))
    kept = make_key(alice, revoked_at=days_ago(89))
    cleanup()

    assert ApiKey.objects.get() == kept


def test_does_nothing_the_second_time(settings: Settings, alice: User) -> None:
    settings.AUDIT_RETENTION_DAYS = 30
    make_key(alice, expires_at=days_ago(1))
    event(31)
    cleanup()

    assert not any(character in "123456789" for character in cleanup())


def test_only_one_process_cleans_up() -> None:
    entered, done = threading.Event(), threading.Event()

    def hold() -> None:
        with only_one("cleanup"):
            entered.set()
            done.wait(10)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    entered.wait(10)
    try:
        with pytest.raises(CommandError, match="Another process"):
            cleanup()
    finally:
        done.set()
        other.join()
    assert cleanup().startswith("done")


def test_refuses_batches_of_nothing() -> None:
    with pytest.raises(CommandError, match="at least 1"):
        cleanup("--batch-size", "0")


class Organizations:
    """Those of the Letta stand-in, as its administrator sees them."""

    def __init__(self, letta: Running) -> None:
        self._client = letta.client
        self._headers = {"authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}"}

    def make(self, name: str) -> str:
        answer = self._client.post(
            "/v1/admin/orgs/", json={"name": name}, headers=self._headers
        ).raise_for_status()
        return str(answer.json()["id"])

    def ids(self) -> set[str]:
        query = {"limit": 1000}
        answer = self._client.get("/v1/admin/orgs/", params=query, headers=self._headers)
        return {row["id"] for row in answer.raise_for_status().json()}


@pytest.fixture
def organizations(letta: Running) -> Organizations:
    return Organizations(letta)


def account(user: User, organization_id: str) -> None:
    state = LettaAccount.State.ACTIVE if organization_id else LettaAccount.State.CREATING
    LettaAccount.objects.create(
        user=user, state=state, organization_id=organization_id, letta_user_id="user-1"
    )


@pytest.mark.usefixtures("litellm")
def test_prunes_organizations_that_stand_for_nobody(
    organizations: Organizations, alice: User
) -> None:
    bob = User.objects.create(pk=uuid4())
    before = organizations.ids()
    mine = organizations.make(f"gw:{alice.pk}")
    account(alice, mine)
    account(bob, "")  # being made right now
    kept = {mine, organizations.make(f"gw:{bob.pk}")}
    kept |= {organizations.make(name) for name in ("acme", "gw:acme", f"x-gw:{uuid4()}", "gw:")}
    orphans = [organizations.make(f"gw:{uuid4()}") for _ in range(25)]
    orphans.append(organizations.make(f"gw:{alice.pk}"))  # a second one of the same user

    assert "26 orphaned Letta organizations" in cleanup("--dry-run")
    assert organizations.ids() == before | kept | set(orphans)
    assert "26 orphaned Letta organizations" in cleanup("--prune")
    assert organizations.ids() == before | kept
    assert "0 orphaned Letta organizations" in cleanup("--prune")


def test_prunes_nothing_without_being_told(organizations: Organizations) -> None:
    orphan = organizations.make(f"gw:{UUID(int=5)}")

    assert "Letta" not in cleanup()
    assert orphan in organizations.ids()


@pytest.mark.usefixtures("litellm")
def test_prunes_nothing_at_letta_cloud(organizations: Organizations, settings: Settings) -> None:
    orphan = organizations.make(f"gw:{uuid4()}")
    settings.LETTA_MODE = "cloud"

    assert "0 orphaned Letta organizations" in cleanup("--prune")
    assert orphan in organizations.ids()


@pytest.mark.usefixtures("litellm")
def test_does_the_rest_when_an_upstream_fails(letta: Running, settings: Settings) -> None:
    settings.AUDIT_RETENTION_DAYS = 30
    event(62)
    letta.fault("/v1/admin", status=500)
    with pytest.raises(CommandError, match="orphaned Letta organizations"):
        cleanup("--prune")

    assert not AuditEvent.objects.exists()


@pytest.fixture
def books(litellm: Running) -> LiteLLMBooks:
    return LiteLLMBooks(litellm)


def retiring_key(user: User, books: LiteLLMBooks) -> VirtualKey:
    """A key that was retired while LiteLLM was away."""
    key = VirtualKey.chosen(user.pk, VirtualKey.Kind.MANAGED)
    key.state = VirtualKey.State.RETIRING
    key.save()
    books.post("/key/generate", {"key": key.value(), "user_id": str(user.pk)})
    return key


def test_deletes_retiring_keys_where_litellm_still_has_them(
    alice: User, books: LiteLLMBooks
) -> None:
    for _ in range(3):
        retiring_key(alice, books)
    kept = VirtualKey.objects.managed(alice.pk)
    books.post("/key/generate", {"key": kept.value(), "user_id": str(alice.pk)})

    assert "3 retiring virtual keys" in cleanup("--batch-size", "2")
    assert VirtualKey.objects.get() == kept
    assert [key["token"] for key in books.keys_of(alice.pk)] == [kept.token_hash]


def test_keeps_retiring_keys_while_litellm_is_away(
    alice: User, books: LiteLLMBooks, litellm: Running
) -> None:
    retiring_key(alice, books)
    litellm.fault("/key/delete", status=503)
    with pytest.raises(CommandError, match="retiring virtual keys"):
        cleanup()
    assert VirtualKey.objects.exists()
    litellm.mend()

    assert "1 retiring virtual keys" in cleanup()
    assert not VirtualKey.objects.exists()


@pytest.mark.usefixtures("letta")
def test_prunes_litellms_users_that_it_has_made_for_nobody(
    alice: User, books: LiteLLMBooks
) -> None:
    def make(user_id: object, metadata: dict[str, str]) -> str:
        wish = {"user_id": str(user_id), "metadata": metadata}
        books.post("/user/new", wish)
        return str(user_id)

    ours, theirs = {"gateway": str(installation_id())}, {"gateway": str(uuid4())}
    kept = {make(alice.pk, ours), make(uuid4(), theirs), make(uuid4(), {}), make("admin", {})}
    orphans = {make(uuid4(), ours) for _ in range(21)}

    cleanup()
    assert "21 orphaned LiteLLM users" in cleanup("--dry-run")
    assert set(books.users()) >= orphans
    assert "21 orphaned LiteLLM users" in cleanup("--prune")
    assert set(books.users()) == kept
    assert not any(books.keys_of(user_id) for user_id in orphans)
    assert "0 orphaned LiteLLM users" in cleanup("--prune")
