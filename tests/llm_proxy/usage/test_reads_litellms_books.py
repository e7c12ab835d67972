from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from gateway_core.errors import (
    UpstreamAnswerInvalid,
    UpstreamCredentialRejected,
    UpstreamError,
    UpstreamFailed,
    UpstreamUnreachable,
)
from llm_proxy.usage.client import Books, LoggedCall
from tests.llm_proxy.usage.conftest import USER_ID, Caller

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Running
    from tests.llm_proxy.conftest import LiteLLMBooks

DAY = timedelta(days=1)


def todays(books: Books, user_id: UUID | None = None) -> list[LoggedCall]:
    now = datetime.now(UTC)
    return [*books.calls(since=now - DAY, until=now + DAY, user_id=user_id)]


def test_reads_a_call(caller: Caller, litellms_books: Books) -> None:
    caller("call-1").raise_for_status()

    call = litellms_books.call("call-1")

    assert call is not None
    assert (call.call_id, call.user_id) == ("call-1", str(USER_ID))
    assert (call.model, call.operation) == ("gpt-4o-mini", "acompletion")
    assert (call.tokens_in, call.tokens_out, call.cost) == (10, 20, Decimal("0.05"))
    assert call.token_hash == caller.token_hash
    assert call.is_success
    assert abs(call.began_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert todays(litellms_books) == [call]


def test_reads_a_failed_call_by_the_id_it_was_sent_with(
    caller: Caller, litellms_books: Books
) -> None:
    assert caller("call-1", "stub/slow", timeout=0.001).status_code == 408

    call = litellms_books.call("call-1")

    assert call is not None
    assert (call.is_success, call.cost) == (False, Decimal("0.008"))


def test_does_not_find_what_is_not_there(caller: Caller, litellms_books: Books) -> None:
    caller("call-1").raise_for_status()

    assert litellms_books.call("call-2") is None


def test_does_not_take_another_call_whose_answer_has_that_id(
    caller: Caller, litellms_books: Books
) -> None:
    answer_id = caller("call-1").json()["id"]

    assert litellms_books.call(answer_id) is None


def test_adds_up_the_attempts_that_were_billed_for_one_call(
    caller: Caller, litellms_books: Books
) -> None:
    for call_id in ("call-1", "call-1-attempt-0", "call-1-attempt-1", "call-2"):
        caller(call_id, "stub/slow", timeout=0.001)

    call = litellms_books.call("call-1")

    assert call is not None
    assert (call.call_id, call.cost, call.tokens_in) == ("call-1", Decimal("0.024"), 24)


def test_reads_all_pages_once_in_order(
    caller: Caller, litellms_books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a second has more rows than a page."""
    monkeypatch.setattr("llm_proxy.usage.client._PAGE_ROWS", 7)
    made = [f"call-{number}" for number in range(40)]
    for call_id in made:
        caller(call_id).raise_for_status()

    assert [call.call_id for call in todays(litellms_books)] == made


def test_reads_what_began_within_the_time_only(caller: Caller, litellms_books: Books) -> None:
    caller("call-1").raise_for_status()
    call = litellms_books.call("call-1")
    assert call is not None
    second = timedelta(seconds=1)

    def found(since: datetime, until: datetime) -> int:
        return len([*litellms_books.calls(since=since, until=until)])

    assert found(call.began_at, call.began_at) == 1
    assert found(call.began_at - DAY, call.began_at - second) == 0
    assert found(call.began_at + second, call.began_at + DAY) == 0


def test_reads_the_calls_of_one_user(
    caller: Caller, litellm: Running, books: LiteLLMBooks, litellms_books: Books
) -> None:
    caller("call-1").raise_for_status()
    Caller(litellm, books, uuid4())("call-2").raise_for_status()

    (call,) = todays(litellms_books, USER_ID)

    assert call.call_id == "call-1"


def test_reads_what_a_user_has_spent(
    caller: Caller, books: LiteLLMBooks, litellms_books: Books
) -> None:
    caller("call-1").raise_for_status()
    limits = {"user_id": str(USER_ID), "max_budget": 2.5, "budget_duration": "1d"}

    unlimited = litellms_books.spend_of(USER_ID)
    books.post("/user/update", limits)
    limited = litellms_books.spend_of(USER_ID)

    assert unlimited is not None
    assert limited is not None
    assert unlimited.spent == limited.spent == Decimal("0.05")
    assert (unlimited.period, unlimited.resets_at) == (None, None)
    assert limited.period == "1d"
    assert limited.resets_at is not None
    assert timedelta() < limited.resets_at - datetime.now(UTC) <= DAY


def test_knows_no_spend_of_whom_litellm_does_not_know(litellms_books: Books) -> None:
    assert litellms_books.spend_of(uuid4()) is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, UpstreamFailed),
        ({"status": 200, "body": "<html>"}, UpstreamAnswerInvalid),
        ({"status": 200, "body": {"data": [{"spend": "much"}]}}, UpstreamAnswerInvalid),
        ({"status": 404, "body": {}}, UpstreamFailed),
    ],
)
def test_says_that_litellm_fails(
    litellm: Running, litellms_books: Books, fault: dict[str, Any], error: type[UpstreamError]
) -> None:
    litellm.fault("^/spend", **fault)

    with pytest.raises(error):
        litellms_books.call("call-1")


def test_says_that_the_master_key_is_wrong(litellm: Running, settings: Any) -> None:
    del litellm
    settings.LITELLM_MASTER_KEY = "sk-wrong"

    with pytest.raises(UpstreamCredentialRejected):
        Books().call("call-1")


def test_says_that_litellm_is_away(settings: Any) -> None:
    settings.LITELLM_BASE_URL = "http://127.0.0.1:1"

    with pytest.raises(UpstreamUnreachable):
        Books().call("call-1")
