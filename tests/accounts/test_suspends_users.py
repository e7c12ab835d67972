from __future__ import annotations

import pytest
from django.db import transaction

from accounts import services
from accounts.models import User
from accounts.principals.identify import identify_token_sync
from accounts.principals.memory import INVALIDATION_SUBJECT
from gateway_core import cache
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import AccountSuspended
from tests.accounts.mint import Signer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sign_in_service")]


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("root", email="root@example.com")


def test_shuts_a_user_out_at_once_and_lets_them_in_again(signer: Signer, staff: User) -> None:
    token = signer.token()
    user_id = identify_token_sync(token).user_id
    assert services.suspend_user(user_id=user_id, by=staff)
    with pytest.raises(AccountSuspended):
        identify_token_sync(token)
    assert services.resume_user(user_id=user_id, by=staff)
    assert identify_token_sync(token).user_id == user_id


def test_records_who_did_it(signer: Signer, staff: User) -> None:
    user_id = identify_token_sync(signer.token()).user_id
    services.suspend_user(user_id=user_id, by=staff)
    services.resume_user(user_id=user_id, by=staff)
    events = AuditEvent.objects.order_by("id").values_list("action", "resource", "user_email")
    assert list(events) == [
        ("user.suspend", f"user:{user_id}", "root@example.com"),
        ("user.resume", f"user:{user_id}", "root@example.com"),
    ]


def test_does_and_records_nothing_twice(signer: Signer, staff: User) -> None:
    user_id = identify_token_sync(signer.token()).user_id
    assert not services.resume_user(user_id=user_id, by=staff)
    services.suspend_user(user_id=user_id, by=staff)
    assert not services.suspend_user(user_id=user_id, by=staff)
    assert AuditEvent.objects.count() == 1


def test_tells_other_processes_only_after_the_commit(
    signer: Signer, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(cache, "invalidate", lambda *subject: told.append(subject))
    user_id = identify_token_sync(signer.token()).user_id
    with transaction.atomic():
        services.suspend_user(user_id=user_id, by=staff)
        assert told == []
    assert told == [(INVALIDATION_SUBJECT, str(user_id))]


def test_is_undone_with_the_transaction_it_was_part_of(signer: Signer, staff: User) -> None:
    token = signer.token()
    user_id = identify_token_sync(token).user_id
    with transaction.atomic():
        services.suspend_user(user_id=user_id, by=staff)
        transaction.set_rollback(True)
    cache.clear_all()
    assert identify_token_sync(token).user_id == user_id
    assert not AuditEvent.objects.exists()
