"""How probes are run: side by side, within their time, once for all callers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway_core.errors import UpstreamUnreachable
from gateway_project.system.readiness import Finding, Impaired, Probe, Readiness, Status
from tests.timing import Clock, wait_until


class Gate:
    """A probe that waits until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.opened = threading.Event()

    def __call__(self) -> str:
        self.asked += 1
        self.opened.wait(5)
        return "answers"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def _probe(
    ask: Callable[[], str] = lambda: "answers",
    *,
    name: str = "thing",
    no_answer: Status = Status.DEGRADED,
) -> Probe:
    return Probe(name=name, ask=ask, no_answer=no_answer)


def _raising(error: Exception) -> Callable[[], str]:
    def ask() -> str:
        raise error

    return ask


def _only(probe: Probe, *, time_limit: float = 2.0) -> Finding:
    (finding,) = Readiness([probe], ttl=lambda: 0, time_limit=time_limit).report().findings
    return finding


def test_is_ok_when_every_probe_has_its_answer() -> None:
    report = Readiness([_probe(name="a"), _probe(name="b")], ttl=lambda: 0).report()

    assert report.status is Status.OK
    assert [finding.name for finding in report.findings] == ["a", "b"]
    assert all(finding.ok for finding in report.findings)


def test_is_as_bad_as_the_worst_finding() -> None:
    degraded = _probe(_raising(Impaired(Status.DEGRADED, "slow")))
    failed = _probe(_raising(Impaired(Status.FAILED, "gone")))

    assert Readiness([_probe(), degraded], ttl=lambda: 0).report().status is Status.DEGRADED
    assert Readiness([failed, degraded, _probe()], ttl=lambda: 0).report().status is Status.FAILED


@pytest.mark.parametrize("no_answer", [Status.DEGRADED, Status.FAILED])
def test_takes_no_proper_answer_for_what_the_probe_says(no_answer: Status) -> None:
    finding = _only(_probe(_raising(UpstreamUnreachable()), no_answer=no_answer))

    assert finding.status is no_answer
    assert finding.detail == "upstream unreachable"


def test_says_nothing_of_an_unexpected_error_but_that_there_was_one() -> None:
    finding = _only(_probe(_raising(RuntimeError("password=hunter2")), no_answer=Status.FAILED))

    assert finding.status is Status.FAILED
    assert "hunter2" not in finding.detail


def test_waits_no_longer_than_the_time_limit(gate: Gate) -> None:
    started = time.monotonic()

    finding = _only(_probe(gate, no_answer=Status.FAILED), time_limit=0.03)

    assert time.monotonic() - started < 1
    assert finding.status is Status.FAILED
    assert finding.detail == "no answer in time"
    assert finding.latency_ms == 30


def test_asks_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=5)

    def meet() -> str:
        meeting.wait()
        return "met"

    report = Readiness([_probe(meet, name="a"), _probe(meet, name="b")], ttl=lambda: 0).report()

    assert report.status is Status.OK


def test_does_not_pile_up_questions_when_one_hangs(gate: Gate) -> None:
    readiness = Readiness([_probe(gate)], ttl=lambda: 0, time_limit=0.01)

    for _ in range(5):
        readiness.report()

    assert gate.asked == 1


def test_recovers_when_what_hung_answers_again(gate: Gate) -> None:
    readiness = Readiness([_probe(gate)], ttl=lambda: 0, time_limit=0.05)
    assert readiness.report().status is Status.DEGRADED

    gate.opened.set()

    assert readiness.report().status is Status.OK


def test_asks_once_for_all_who_want_to_know_at_the_same_time(gate: Gate) -> None:
    quick = Gate()
    quick.opened.set()
    readiness = Readiness([_probe(quick, name="quick"), _probe(gate, name="slow")], ttl=lambda: 60)
    with ThreadPoolExecutor(20) as pool:
        reports = [pool.submit(readiness.report) for _ in range(20)]
        wait_until(lambda: quick.asked and gate.asked)
        time.sleep(0.03)  # the quick answer is long there, and all others wait
        gate.opened.set()

    assert (quick.asked, gate.asked) == (1, 1)
    assert all(report.result().status is Status.OK for report in reports)


def test_asks_again_only_when_the_report_is_old(gate: Gate) -> None:
    gate.opened.set()
    clock = Clock()
    readiness = Readiness([_probe(gate)], ttl=lambda: 5, clock=clock)

    readiness.report()
    clock.now += 4.9
    readiness.report()
    assert gate.asked == 1

    clock.now += 0.2
    readiness.report()
    assert gate.asked == 2


def test_measures_how_long_an_answer_took() -> None:
    def be_slow() -> str:
        time.sleep(0.02)
        return "slow"

    finding = _only(_probe(be_slow))

    assert 20 <= finding.latency_ms < 1000


def test_says_that_the_process_is_being_stopped_at_once() -> None:
    is_stopping = False
    readiness = Readiness([_probe()], ttl=lambda: 60, is_stopping=lambda: is_stopping)
    assert readiness.report().status is Status.OK

    is_stopping = True
    report = readiness.report()

    assert report.status is Status.FAILED
    assert [finding.name for finding in report.findings] == ["process"]
