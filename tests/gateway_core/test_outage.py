from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from gateway_core.outage import Outage
from tests.timing import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> structlog.testing.LogCapture:
    return structlog.testing.LogCapture()


@pytest.fixture
def outage(clock: Clock, lines: structlog.testing.LogCapture) -> Outage:
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[lines])
    return Outage(log, away="it is away", back="it is back", clock=clock)


def test_has_one_caller_look_each_second(outage: Outage, clock: Clock) -> None:
    assert not outage.is_known()
    outage.begin(OSError("refused"))
    assert [outage.is_known() for _ in range(3)] == [True, True, True]
    clock.now += 1.1
    assert [outage.is_known() for _ in range(3)] == [False, True, True]
    outage.end()
    assert [outage.is_known() for _ in range(3)] == [False, False, False]


def test_waits_a_second_from_the_last_failure(outage: Outage, clock: Clock) -> None:
    outage.begin(OSError("refused"))
    clock.now += 0.9
    outage.begin(OSError("refused"))
    clock.now += 0.9
    assert outage.is_known()


def test_says_each_once(outage: Outage, lines: structlog.testing.LogCapture) -> None:
    for _ in range(3):
        outage.begin(OSError("refused"), processes=4)
    outage.end()
    outage.end()
    away, back = lines.entries
    assert away == {
        "event": "it is away",
        "error": "refused",
        "processes": 4,
        "log_level": "warning",
    }
    assert (back["event"], back["log_level"]) == ("it is back", "info")


def test_names_an_error_that_says_nothing(
    outage: Outage, lines: structlog.testing.LogCapture
) -> None:
    outage.begin(TimeoutError())
    assert lines.entries[0]["error"] == "TimeoutError"


def test_tells_one_thread_that_it_has_ended_it(outage: Outage) -> None:
    with ThreadPoolExecutor(16) as threads:
        for _ in range(50):
            outage.begin(OSError("refused"))
            ended = threads.map(lambda _: outage.end(), range(16))
            assert sum(ended) == 1
