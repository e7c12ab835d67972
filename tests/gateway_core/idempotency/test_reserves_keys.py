"""A key is taken once, and whoever sends it again hears what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.utils import timezone

from accounts.models import User
from gateway_core.errors import (
    GatewayError,
    IdempotencyAnswerNotKept,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyOutcomeUnknown,
)
from gateway_core.idempotency import services
from gateway_core.idempotency.models import IdempotencyRecord
from gateway_core.idempotency.outcomes import Answer, Failure
from tests.gateway_core.idempotency.conftest import ANSWER, Keyed

pytestmark = pytest.mark.django_db
REFUSED = Failure(status=422, code="caller_field_invalid", nothing_done=True)
TIMED_OUT = Failure(status=504, code="upstream_timeout", nothing_done=False)


def reserve(request: Any) -> UUID:
    found = services.reserve(request, lease_seconds=60)
    assert isinstance(found, UUID)
    return found


def again(request: Any) -> Answer:
    found = services.reserve(request, lease_seconds=60)
    assert isinstance(found, Answer)
    return found


def _move(seconds: float) -> None:
    """Let time pass for the one row."""
    row, by = IdempotencyRecord.objects.get(), timedelta(seconds=seconds)
    for name in ("created_at", "lease_until", "expires_at"):
        setattr(row, name, getattr(row, name) - by)
    row.save()


def test_gives_the_answer_again_when_the_request_comes_again(keyed: Keyed) -> None:
    services.conclude(reserve(keyed()), ANSWER)

    assert again(keyed()) == ANSWER
    assert again(keyed()) == ANSWER


def test_gives_any_bytes_again(keyed: Keyed) -> None:
    body = bytes(range(256)) + "Привет".encode()
    services.conclude(reserve(keyed()), Answer(status=200, headers=(), body=body))

    assert again(keyed()).body == body


def test_refuses_a_key_while_its_first_request_is_under_way(keyed: Keyed) -> None:
    reserve(keyed())

    with pytest.raises(IdempotencyInProgress) as caught:
        services.reserve(keyed(), lease_seconds=60)

    assert caught.value.status == 409
    assert caught.value.retry_after == 1
    assert caught.value.retryable


@pytest.mark.parametrize(("age", "wait"), [(7, 7), (50, 30)])
def test_asks_for_patience_by_how_long_it_has_taken(keyed: Keyed, age: int, wait: int) -> None:
    reserve(keyed())
    _move(age)

    with pytest.raises(IdempotencyInProgress) as caught:
        services.reserve(keyed(), lease_seconds=60)

    assert caught.value.retry_after == pytest.approx(wait, abs=1)


@pytest.mark.parametrize("outcome", [None, ANSWER, TIMED_OUT])
def test_refuses_a_key_with_another_body_whatever_came_of_the_first(
    keyed: Keyed, outcome: Any
) -> None:
    reservation = reserve(keyed())
    if outcome:
        services.conclude(reservation, outcome)

    with pytest.raises(IdempotencyKeyReused) as caught:
        services.reserve(keyed(b'{"other": 1}'), lease_seconds=60)

    assert caught.value.status == 422


def test_frees_a_key_whose_request_is_known_to_have_done_nothing(keyed: Keyed) -> None:
    services.conclude(reserve(keyed()), REFUSED)

    services.conclude(reserve(keyed(b'{"mended": 1}')), ANSWER)
    assert again(keyed(b'{"mended": 1}')) == ANSWER


def test_never_repeats_what_may_have_been_done(keyed: Keyed) -> None:
    services.conclude(reserve(keyed()), TIMED_OUT)
    _move(23 * 3600)

    with pytest.raises(IdempotencyOutcomeUnknown, match=r"upstream_timeout \(504\)") as caught:
        services.reserve(keyed(), lease_seconds=60)

    assert not caught.value.retryable


def test_never_repeats_what_a_dead_process_had_begun(keyed: Keyed) -> None:
    reserve(keyed())
    _move(61)

    with pytest.raises(IdempotencyOutcomeUnknown, match="broke off"):
        services.reserve(keyed(), lease_seconds=60)


def test_takes_an_answer_that_comes_after_the_lease(keyed: Keyed) -> None:
    reservation = reserve(keyed())
    _move(61)
    services.conclude(reservation, ANSWER)

    assert again(keyed()) == ANSWER


def test_frees_a_key_after_a_day(keyed: Keyed) -> None:
    services.conclude(reserve(keyed()), ANSWER)
    _move(24 * 3600)

    assert reserve(keyed())
    assert IdempotencyRecord.objects.count() == 1


def test_lets_nobody_end_a_request_whose_key_has_a_new_one(keyed: Keyed) -> None:
    late = reserve(keyed())
    _move(24 * 3600)
    reserve(keyed())
    services.conclude(late, ANSWER)

    with pytest.raises(IdempotencyInProgress):
        services.reserve(keyed(), lease_seconds=60)


def test_keeps_keys_of_users_and_routes_apart(keyed: Keyed) -> None:
    bob = User.objects.create(email="bob@example.com")
    services.conclude(reserve(keyed()), ANSWER)

    assert reserve(keyed(user_id=bob.pk))
    assert reserve(keyed(route="POST /api/v1/things/7"))
    assert reserve(keyed(key="k-2"))


@pytest.mark.parametrize("body", [None, b"x" * 11])
def test_says_that_an_answer_could_not_be_kept(
    keyed: Keyed, settings: Any, body: bytes | None
) -> None:
    settings.IDEMPOTENCY_MAX_BYTES = 10
    services.conclude(reserve(keyed()), Answer(status=200, headers=(), body=body))

    with pytest.raises(IdempotencyAnswerNotKept, match="status 200"):
        services.reserve(keyed(), lease_seconds=60)


def test_keeps_answers_encrypted_and_bound_to_their_rows(keyed: Keyed) -> None:
    services.conclude(reserve(keyed()), ANSWER)
    services.conclude(reserve(keyed(key="k-2")), Answer(status=200, headers=(), body=b"gwk_s3cret"))
    first, second = IdempotencyRecord.objects.order_by("key")

    assert "s3cret" not in str(vars(second))
    IdempotencyRecord.objects.filter(pk=first.pk).update(encrypted_answer=second.encrypted_answer)
    with pytest.raises(IdempotencyAnswerNotKept):
        services.reserve(keyed(), lease_seconds=60)


def test_says_so_when_the_encryption_key_is_gone(keyed: Keyed, settings: Any) -> None:
    services.conclude(reserve(keyed()), ANSWER)
    settings.ENCRYPTION_KEYS = ("22" * 32,)

    with pytest.raises(IdempotencyAnswerNotKept):
        services.reserve(keyed(), lease_seconds=60)


def test_does_not_mind_when_the_outcome_can_not_be_written_down(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reservation = reserve(keyed())

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr("django.db.models.query.QuerySet.update", fail)
    services.conclude(reservation, ANSWER)

    with pytest.raises(IdempotencyInProgress):
        services.reserve(keyed(), lease_seconds=60)


def test_finds_what_has_expired(keyed: Keyed) -> None:
    services.conclude(reserve(keyed()), ANSWER)
    _move(24 * 3600 + 1)
    reserve(keyed(key="k-2"))

    assert [row.key for row in services.expired()] == ["k-1"]


def test_forgets_a_user(keyed: Keyed) -> None:
    bob = User.objects.create(email="bob@example.com")
    reserve(keyed())
    reserve(keyed(user_id=bob.pk))

    assert services.forget_user(bob.pk) == 1
    assert [row.user_id for row in IdempotencyRecord.objects.all()] == [keyed().user_id]


def test_takes_two_queries_and_ends_with_one(keyed: Keyed, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        reservation = reserve(keyed())
    with django_assert_num_queries(1):
        services.conclude(reservation, ANSWER)
    with django_assert_num_queries(2):
        again(keyed())


def test_is_in_progress_for_whoever_meets_a_crowd(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the row is seen by the insert and gone at the look."""
    reserve(keyed())
    none = IdempotencyRecord.objects.none()
    monkeypatch.setattr(IdempotencyRecord.objects, "filter", lambda **_: none)

    with pytest.raises(GatewayError) as caught:
        services.reserve(keyed(), lease_seconds=60)

    assert isinstance(caught.value, IdempotencyInProgress)


def test_rows_tell_no_secrets(keyed: Keyed) -> None:
    reserve(keyed())

    assert str(IdempotencyRecord.objects.get()) == "POST /api/v1/things working"
    assert timezone.now() < IdempotencyRecord.objects.get().expires_at
