from __future__ import annotations

import io
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from gateway_core.advisory import only_one
from gateway_core.audit.models import AuditEvent
from llm_proxy.usage import reconcile
from llm_proxy.usage.models import UsageRecord
from llm_proxy.virtual_keys.models import VirtualKey
from tests.llm_proxy.usage.conftest import USER_ID, Caller, call_event, kept_call

if TYPE_CHECKING:
    from tests.conftest import Running
    from tests.llm_proxy.conftest import LiteLLMBooks

pytestmark = pytest.mark.django_db

OURS = "req_0123456789-0123456789ab"


@pytest.fixture(autouse=True)
def _alice(caller: Caller) -> None:
    """The user whose calls these are."""
    del caller
    get_user_model().objects.create(pk=USER_ID)


def run(**options: Any) -> str:
    """Reconcile until now and return the last line."""
    said = io.StringIO()
    soon = timezone.now() + timedelta(seconds=2)
    defaults = {"until": soon, "idle": 0, "stdout": said, "stderr": said}
    call_command("reconcile_usage", **defaults | options)
    return said.getvalue().strip().splitlines()[-1]


def age(**fields: Any) -> None:
    """Let all records be older."""
    for record in UsageRecord.objects.all():
        record.at -= timedelta(**fields)
        record.save()


def test_agrees_when_there_is_nothing() -> None:
    assert run().endswith("0 still open; $0.000000 drift of 0 users")


def test_agrees_when_both_sides_say_the_same(caller: Caller) -> None:
    caller("call-1")
    kept_call("call-1", facts={"cost": 0.05})

    assert run().startswith("1 agreed, 0 filled in, 0 corrected, 0 added")


def test_fills_in_corrects_and_adds(caller: Caller) -> None:
    for call_id in ("open", "wrong", OURS):
        caller(call_id)
    kept_call("open")
    kept_call("wrong", facts={"cost": 7})

    assert run().startswith("0 agreed, 1 filled in, 1 corrected, 1 added")

    costs = UsageRecord.objects.values_list("cost", flat=True)
    assert list(costs) == [Decimal("0.05")] * 3
    assert run().startswith("3 agreed, 0 filled in, 0 corrected, 0 added")


def test_adds_all_that_the_log_tells(caller: Caller) -> None:
    key = VirtualKey.chosen(USER_ID, VirtualKey.Kind.MANAGED)
    key.token_hash = caller.token_hash
    key.save()
    caller(OURS)

    run()

    record = UsageRecord.objects.get()
    assert (record.source, record.kind, record.user_id) == ("litellm", "call", USER_ID)
    assert (record.model, record.operation) == ("gpt-4o-mini", "chat/completions")
    assert (record.call_id, record.request_id) == (OURS, "req_0123456789")
    assert (record.tokens_in, record.tokens_out, record.cost) == (10, 20, Decimal("0.05"))
    assert (record.virtual_key_id, record.api_key_id) == (key.pk, None)
    assert abs(record.at - timezone.now()) < timedelta(minutes=1)


def test_adds_a_call_once_though_its_event_comes_later(caller: Caller) -> None:
    caller(OURS)
    run()

    AuditEvent.objects.store([call_event(facts={"call_id": OURS, "cost": 0.05})])

    assert UsageRecord.objects.get().source == "litellm"
    assert run().startswith("1 agreed")


def test_does_not_add_what_was_refused(caller: Caller, books: LiteLLMBooks) -> None:
    limits = {"user_id": str(USER_ID), "max_budget": 0.0}
    books.post("/user/update", limits)
    assert caller("call-1").status_code == 422

    assert "0 added" in run()


def test_adds_a_failed_call_that_cost_something(caller: Caller) -> None:
    assert caller(OURS, "stub/slow", timeout=0.001).status_code == 408

    assert "1 added" in run()
    assert UsageRecord.objects.get().cost == Decimal("0.008")


def test_does_not_add_calls_of_others(
    litellm: Running, books: LiteLLMBooks, caller: Caller
) -> None:
    Caller(litellm, books, uuid4())("call-1").raise_for_status()
    nobody = books.post("/key/generate", {"user_id": "somebody"})["key"]
    wish = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {nobody}"}
    litellm.client.post("/v1/chat/completions", json=wish, headers=headers).raise_for_status()
    caller("call-2")

    assert "1 added" in run()


def test_an_old_call_that_the_log_does_not_have_has_cost_nothing() -> None:
    record = kept_call("call-1")
    assert "0 never billed, 1 still open" in run()

    age(hours=2)

    assert "1 never billed, 0 still open" in run()
    record.refresh_from_db()
    assert (record.cost, record.look_at) == (Decimal(0), None)


def test_finds_a_call_whose_time_is_elsewhere_in_the_log(caller: Caller) -> None:
    """The gateway's clock is wrong, or an upload took long."""
    caller("call-1")
    kept_call("call-1", facts={"cost": 0.05})
    age(minutes=30)

    until = timezone.now() - timedelta(minutes=20)

    assert run(until=until).startswith("1 agreed")


def test_fails_when_litellm_lacks_a_call_that_cost_something() -> None:
    kept_call("call-1", facts={"cost": 0.05})

    with pytest.raises(CommandError, match="Drift is left for 1 users"):
        run()


def test_fails_when_litellm_counts_more_than_its_log_says(
    caller: Caller, litellm: Running, books: LiteLLMBooks
) -> None:
    """As when a provider repeats an id: LiteLLM then drops the row."""
    del litellm
    caller("call-1")
    kept_call("call-1", facts={"cost": 0.05})
    books.post("/user/update", {"user_id": str(USER_ID), "spend": 0.5})

    with pytest.raises(CommandError):
        run()


def test_believes_litellms_count_when_its_log_has_dropped_a_call(
    caller: Caller, books: LiteLLMBooks
) -> None:
    caller("call-1")
    kept_call("call-1", facts={"cost": 0.05})
    kept_call("call-2", facts={"cost": 0.05})
    books.post("/user/update", {"user_id": str(USER_ID), "spend": 0.1})

    assert run().endswith("$0.000000 drift of 1 users")


def test_judges_a_busy_user_by_the_log(caller: Caller, books: LiteLLMBooks) -> None:
    caller("call-1")
    kept_call("call-1", facts={"cost": 0.05})
    books.post("/user/update", {"user_id": str(USER_ID), "spend": 0.0})

    assert run(idle=60).endswith("$0.000000 drift of 1 users")
    with pytest.raises(CommandError):
        run(idle=0)


def test_takes_no_drift_for_a_call_that_litellm_has_not_billed(caller: Caller) -> None:
    caller("call-1")
    kept_call("call-1", facts={"cost": 0.05})
    kept_call("call-2")

    assert run().endswith("1 still open; $0.000000 drift of 1 users")


def test_compares_a_budget_period_only(caller: Caller, books: LiteLLMBooks) -> None:
    books.post("/user/update", {"user_id": str(USER_ID), "budget_duration": "1d"})
    caller("call-1")
    kept_call("call-1", facts={"cost": 0.05})
    last_year = timezone.now() - timedelta(days=365)
    fields = {"user_id": USER_ID, "at": last_year, "cost": 9, "call_id": "old"}
    UsageRecord.objects.create(pk=uuid4(), **fields)

    assert run().endswith("$0.000000 drift of 1 users")
    books.post("/user/update", {"user_id": str(USER_ID), "spend": 0.5})
    said = io.StringIO()
    with pytest.raises(CommandError):
        run(stdout=said)
    assert "$0.050000, LiteLLM counts $0.500000, drift -$0.450000" in said.getvalue()


def test_changes_nothing_in_a_dry_run(caller: Caller) -> None:
    for call_id in ("open", "wrong", OURS):
        caller(call_id)
    kept_call("open")
    kept_call("wrong", facts={"cost": 7})
    kept_call("never")
    age(hours=2)
    before = list(UsageRecord.objects.order_by("pk").values())

    said = run(dry_run=True, since=datetime(2026, 1, 1, tzinfo=UTC))

    assert said.startswith("0 agreed, 1 filled in, 1 corrected, 1 added, 1 never billed")
    assert list(UsageRecord.objects.order_by("pk").values()) == before


def test_compares_one_user_only(litellm: Running, books: LiteLLMBooks, caller: Caller) -> None:
    bob = get_user_model().objects.create(pk=uuid4())
    Caller(litellm, books, bob.pk)("call-1")
    caller("call-2")
    kept_call("call-3", facts={"cost": 1})

    assert run(user=bob.pk).startswith("0 agreed, 0 filled in, 0 corrected, 1 added")
    assert UsageRecord.objects.filter(source="litellm").get().user_id == bob.pk


def test_reads_a_long_log_in_parts(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_proxy.usage.client._PAGE_ROWS", 9)
    monkeypatch.setattr(reconcile, "_BATCH", 4)
    monkeypatch.setattr(reconcile, "_MARGIN", timedelta())
    for number in range(40):
        caller(f"call-{number}")
        if number % 2:
            kept_call(f"call-{number}", seconds=0)

    assert run().startswith("0 agreed, 20 filled in, 0 corrected, 20 added")
    assert run().startswith("40 agreed, 0 filled in, 0 corrected, 0 added")


def test_says_that_litellm_is_away(litellm: Running) -> None:
    litellm.fault("^/spend", status=503)

    with pytest.raises(CommandError, match="LiteLLM at http"):
        run()


def test_refuses_a_time_that_ends_before_it_begins() -> None:
    with pytest.raises(CommandError, match="--since must be before --until"):
        call_command("reconcile_usage", "--since=2026-03-02", "--until=2026-03-01T00:00:00Z")


@pytest.mark.django_db(transaction=True)
def test_runs_once_at_a_time() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with only_one("reconcile_usage"):
            held.set()
            done.wait(20)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    held.wait(20)
    with pytest.raises(CommandError, match="Another process is reconciling"):
        run()
    done.set()
    other.join()
