from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.utils import timezone

from gateway_core.errors import UpstreamError
from llm_proxy.usage.due_calls import Looked, has_due, look_up_due
from llm_proxy.usage.models import UsageRecord
from tests.llm_proxy.usage.conftest import USER_ID, Caller, kept_call

if TYPE_CHECKING:
    from llm_proxy.usage.client import Books
    from tests.conftest import Running
    from tests.llm_proxy.conftest import LiteLLMBooks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _interval(settings: Any) -> None:
    settings.USAGE_COLLECT_SECONDS = 20


def later(seconds: float = 30) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)


def reads(litellm: Running) -> int:
    return len(litellm.requests("^/spend"))


def test_takes_cost_and_tokens_from_litellms_log(caller: Caller, litellms_books: Books) -> None:
    caller("call-1").raise_for_status()
    record = kept_call("call-1", facts={"tokens_in": 1})

    assert look_up_due(litellms_books, later()) == Looked(filled=1)

    record.refresh_from_db()
    assert (record.cost, record.look_at) == (Decimal("0.05"), None)
    assert (record.tokens_in, record.tokens_out) == (10, 20)
    assert not has_due(later(9999))


def test_leaves_alone_what_is_not_due_yet(caller: Caller, litellms_books: Books) -> None:
    caller("call-1").raise_for_status()
    kept_call("call-1")

    assert not has_due(later(10))
    assert look_up_due(litellms_books, later(10)) == Looked()


def test_looks_again_ever_later_and_gives_up_in_the_end(
    litellm: Running, litellms_books: Books
) -> None:
    record = kept_call("call-1")
    looks = []
    while record.look_at is not None:
        assert look_up_due(litellms_books, record.look_at) == Looked(waiting=1)
        looks.append((record.look_at - record.at).total_seconds())
        record.refresh_from_db()

    assert looks[:3] == [21.5, 43, 86]
    assert 3600 < looks[-1] < 7200
    assert reads(litellm) == len(looks) < 10
    assert record.cost is None


def test_finds_what_litellm_writes_late(caller: Caller, litellms_books: Books) -> None:
    record = kept_call("call-1")
    look_up_due(litellms_books, later())
    caller("call-1").raise_for_status()

    assert look_up_due(litellms_books, later(100)) == Looked(filled=1)

    record.refresh_from_db()
    assert record.cost == Decimal("0.05")


def test_asks_once_for_many_calls_of_one_user(
    caller: Caller, litellm: Running, litellms_books: Books
) -> None:
    for number in range(5):
        caller(f"call-{number}").raise_for_status()
        kept_call(f"call-{number}")

    assert look_up_due(litellms_books, later()) == Looked(filled=5)

    assert reads(litellm) == 1


def test_asks_for_each_when_most_calls_of_the_user_are_known(
    caller: Caller, litellm: Running, litellms_books: Books
) -> None:
    for number in range(20):
        kept_call(f"known-{number}", facts={"cost": 1})
    for number in range(2):
        caller(f"call-{number}").raise_for_status()
        kept_call(f"call-{number}")

    assert look_up_due(litellms_books, later()) == Looked(filled=2)

    assert reads(litellm) == 2


def test_asks_once_for_all_users(
    caller: Caller, litellm: Running, books: LiteLLMBooks, litellms_books: Books
) -> None:
    bob = uuid4()
    for one, user_id in ((caller, USER_ID), (Caller(litellm, books, bob), bob)):
        one(f"call of {user_id}").raise_for_status()
        kept_call(f"call of {user_id}", user_id=str(user_id))

    assert look_up_due(litellms_books, later()) == Looked(filled=2)

    assert set(UsageRecord.objects.values_list("cost", flat=True)) == {Decimal("0.05")}
    assert reads(litellm) == 1


def test_asks_for_each_time_apart(caller: Caller, litellm: Running, litellms_books: Books) -> None:
    caller("call-1").raise_for_status()
    kept_call("call-1")
    kept_call("call-2", seconds=300)

    assert look_up_due(litellms_books, later()) == Looked(filled=1, waiting=1)

    costs = dict(UsageRecord.objects.values_list("call_id", "cost"))
    assert costs == {"call-1": Decimal("0.05"), "call-2": None}
    assert reads(litellm) == 2


def test_reads_no_more_than_looking_for_each_would_take(
    caller: Caller, litellm: Running, litellms_books: Books
) -> None:
    """The log has calls that the gateway knows nothing of."""
    for number in range(30):
        caller(f"call-{number}").raise_for_status()
    kept_call("call-0")
    kept_call("call-29")

    assert look_up_due(litellms_books, later()) == Looked(filled=2)

    assert reads(litellm) == 2


def test_looks_further_around_the_longer_it_takes(
    caller: Caller, litellm: Running, litellms_books: Books
) -> None:
    """As when LiteLLM's clock is another, or an upload took long."""
    for number in range(3):
        caller(f"call-{number}").raise_for_status()
        kept_call(f"call-{number}", seconds=60)

    assert look_up_due(litellms_books, later()) == Looked(waiting=3)
    assert look_up_due(litellms_books, later(1200)) == Looked(filled=3)

    assert reads(litellm) == 2


def test_agrees_with_a_stream_that_told_what_was_billed(
    caller: Caller, litellms_books: Books
) -> None:
    caller("call-1").raise_for_status()
    record = kept_call("call-1", facts={"cost": 0.05, "provisional": True})

    assert look_up_due(litellms_books, later(80)) == Looked()
    assert look_up_due(litellms_books, later(120)) == Looked(agreed=1)

    record.refresh_from_db()
    assert (record.cost, record.look_at) == (Decimal("0.05"), None)


@pytest.mark.parametrize("told", [0.0, 0.07])
def test_corrects_a_stream_that_was_billed_something_else(
    caller: Caller, litellms_books: Books, told: float
) -> None:
    caller("call-1").raise_for_status()
    record = kept_call("call-1", facts={"cost": told, "provisional": True})

    assert look_up_due(litellms_books, later(120)) == Looked(corrected=1)

    record.refresh_from_db()
    assert (record.cost, record.look_at) == (Decimal("0.05"), None)


def test_leaves_a_stream_that_the_log_never_has_as_it_was(litellms_books: Books) -> None:
    record = kept_call("call-1", facts={"cost": 0.05, "provisional": True})

    assert look_up_due(litellms_books, later(4000)) == Looked(waiting=1)

    record.refresh_from_db()
    assert (record.cost, record.look_at) == (Decimal("0.05"), None)


def test_bills_every_attempt_of_a_failed_call(caller: Caller, litellms_books: Books) -> None:
    for call_id in ("call-1", "call-1-attempt-0"):
        caller(call_id, "stub/slow", timeout=0.001)
    record = kept_call("call-1", status=504, error_code="upstream_timeout")

    look_up_due(litellms_books, later())

    record.refresh_from_db()
    assert record.cost == Decimal("0.016")
    assert (record.status, record.code) == (504, "upstream_timeout")


def test_changes_nothing_when_litellm_is_away(litellm: Running, litellms_books: Books) -> None:
    record = kept_call("call-1")
    litellm.fault("^/spend", status=503)

    with pytest.raises(UpstreamError):
        look_up_due(litellms_books, later())

    assert UsageRecord.objects.get().look_at == record.look_at
    assert record.user_id == USER_ID
