from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from django.utils import timezone

from gateway_core.advisory import only_one
from llm_proxy.usage import collector
from llm_proxy.usage.collector import Collector
from llm_proxy.usage.models import UsageRecord
from tests.llm_proxy.usage.conftest import Caller, kept_call
from tests.timing import wait_until

if TYPE_CHECKING:
    from tests.conftest import Running

pytestmark = pytest.mark.django_db(transaction=True)

RoundOf = Callable[[], None]


def in_an_hour() -> datetime:
    return timezone.now() + timedelta(hours=1)


@pytest.fixture
def running() -> Iterator[Collector]:
    running = Collector(interval_seconds=0.02, now=in_an_hour)
    running.start()
    yield running
    running.stop(30)


def cost() -> Decimal | None:
    return UsageRecord.objects.get().cost


def test_fills_in_open_calls(caller: Caller, running: Collector) -> None:
    del running
    caller("call-1").raise_for_status()
    kept_call("call-1")

    wait_until(cost)

    assert cost() == Decimal("0.05")


def test_says_how_many_streams_it_has_corrected(
    caller: Caller, running: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    del running
    logger = structlog.testing.CapturingLogger()
    monkeypatch.setattr(collector, "_log", logger)
    caller("call-1").raise_for_status()
    kept_call("call-1", facts={"cost": 7, "provisional": True})

    wait_until(lambda: logger.calls)

    assert cost() == Decimal("0.05")
    (call,) = logger.calls
    assert (call.method_name, call.args, call.kwargs) == (
        "info",
        ("usage corrected",),
        {"calls": 1},
    )


def test_asks_litellm_for_nothing_when_nothing_is_open(
    litellm: Running, running: Collector, caller: Caller
) -> None:
    del running
    caller("call-1").raise_for_status()
    kept_call("call-1", facts={"cost": 1})
    time.sleep(0.05)

    assert litellm.requests("^/spend") == []


def test_leaves_the_work_to_whoever_is_at_it(
    litellm: Running, caller: Caller, running: Collector
) -> None:
    del running
    caller("call-1").raise_for_status()
    with only_one("usage collector"):
        kept_call("call-1")
        time.sleep(0.05)
        assert litellm.requests("^/spend") == []

    wait_until(cost)


def test_goes_on_when_litellm_is_back(litellm: Running, caller: Caller, running: Collector) -> None:
    del running
    caller("call-1").raise_for_status()
    litellm.fault("^/spend", status=503)
    kept_call("call-1")
    wait_until(lambda: len(litellm.requests("^/spend")) > 1)
    assert cost() is None

    litellm.mend()

    wait_until(cost)


def test_runs_in_a_process_once_and_ends_with_it(settings: Any) -> None:
    settings.USAGE_COLLECT_SECONDS = 0.01
    collector.start()
    first = collector._collector
    collector.start()

    assert first is not None
    assert collector._collector is first
    collector.stop()
    assert not first._thread.is_alive()
    collector.stop()


@pytest.mark.parametrize("setting", ["USAGE_COLLECT_SECONDS", "LITELLM_BASE_URL"])
def test_does_not_run_where_it_is_left_to_others(settings: Any, setting: str) -> None:
    settings.USAGE_COLLECT_SECONDS = 0.01
    setattr(settings, setting, type(getattr(settings, setting))())

    collector.start()

    assert collector._collector is None
