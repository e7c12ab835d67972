from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from gateway_core.errors import GatewayOverloaded
from gateway_core.memory import MemoryWatch, Usage, watch

# All is freed but one block, after which the system could have the rest, and a quarter that is
# garbage which holds itself.
_FILL_AND_FREE = """
import gc, psutil
from gateway_core.memory.watch import give_back

def used():
    return psutil.Process().memory_info().rss

gc.disable()
blocks = [[b"x" * 65_000] for _ in range(4_000)]
full = used()
for block in blocks[::4]:
    block.append(block)
block = blocks = blocks[2001]
give_back()
print(full, used())
"""


@dataclass
class Machine:
    """Memory that a test fills, and some that is only kept."""

    used: int = 0
    kept: int = 0
    others: list[Usage] = field(default_factory=list)
    now: float = 100.0
    seconds: float = 0.0
    given_back: int = 0

    def usages(self) -> list[Usage]:
        return [Usage("process", self.used + self.kept, 1000), *self.others]

    def give_back(self) -> None:
        """Take seconds, as it does where many small objects are in use."""
        self.kept = 0
        self.now += self.seconds
        self.given_back += 1

    def watch(self) -> MemoryWatch:
        return MemoryWatch(usages=self.usages, give_back=self.give_back, clock=lambda: self.now)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> structlog.testing.LogCapture:
    lines = structlog.testing.LogCapture()
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[lines])
    monkeypatch.setattr(watch, "_log", log)
    return lines


def _found(machine: Machine, *amounts: int) -> list[bool]:
    watching, found = machine.watch(), []
    for machine.used in amounts:
        watching.look()
        found.append(watching.is_short)
    return found


def test_is_short_from_the_bound_until_a_tenth_less_is_used(machine: Machine) -> None:
    assert _found(machine, 999, 1000, 999, 900, 899, 999) == [
        *(False, True, True, True, False, False)
    ]


def test_says_each_once_however_it_wavers(
    machine: Machine, lines: structlog.testing.LogCapture
) -> None:
    watching = machine.watch()
    for machine.used, machine.now in ((1000, 100), (950, 101), (1100, 102), (950, 103), (100, 104)):
        watching.look()
    begun, ended = lines.entries
    assert begun == {
        "event": "short of memory",
        "log_level": "warning",
        "of": "process",
        "used": 1000,
        "bound": 1000,
    }
    assert (ended["event"], ended["log_level"], ended["seconds"]) == (
        "enough memory again",
        "info",
        4,
    )


def test_takes_what_is_only_kept_for_nothing(machine: Machine) -> None:
    machine.kept = 900
    assert _found(machine, 500) == [False]
    assert machine.kept == 0


def test_gives_back_what_was_freed_while_it_is_short(machine: Machine) -> None:
    watching = machine.watch()
    machine.used = 1000
    watching.look()
    machine.used, machine.kept = 500, 450
    watching.look()
    assert not watching.is_short


def test_gives_back_a_small_part_of_the_time_however_long_it_takes(machine: Machine) -> None:
    machine.used, machine.seconds = 1000, 0.5
    watching, until = machine.watch(), machine.now + 60
    while machine.now < until:
        watching.look()
        machine.now += 0.5
    assert watching.is_short
    assert 3 < machine.given_back * machine.seconds < 6


def test_heeds_whatever_is_nearest_to_its_bound(machine: Machine) -> None:
    machine.others = [Usage("container", 5000, 4000)]
    assert _found(machine, 10) == [True]
    machine.others = [Usage("container", 10, 4000)]
    assert _found(machine, 10) == [False]


def test_is_never_short_where_nothing_is_bounded() -> None:
    watching = MemoryWatch(usages=list)
    watching.look()
    assert not watching.is_short


def test_refuses_while_it_is_short_and_says_when_to_come_back(machine: Machine) -> None:
    watching = machine.watch()
    watching.refuse()
    machine.used = 1000
    watching.look()
    with pytest.raises(GatewayOverloaded, match="short of memory") as caught:
        watching.refuse()
    assert (caught.value.retry_after, caught.value.retryable) == (5, True)


def test_tells_how_long_it_has_lasted(machine: Machine) -> None:
    watching = machine.watch()
    assert watching.short_seconds() == 0
    machine.used = 1000
    for machine.now in (200, 230):
        watching.look()
    assert watching.short_seconds() == 30


def test_counts_shortages_and_shows_them(machine: Machine) -> None:
    def value(name: str) -> float:
        return REGISTRY.get_sample_value(name) or 0

    before = value("gateway_memory_shortages_total")
    _found(machine, 1000, 1200)
    assert value("gateway_memory_shortages_total") == before + 1
    assert (value("gateway_memory_ratio"), value("gateway_memory_short")) == (1.2, 1)
    _found(machine, 1000, 500)
    assert (value("gateway_memory_ratio"), value("gateway_memory_short")) == (0.5, 0)


async def test_refuses_nobody_when_nobody_looks_any_more(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0)
    machine.used = 1000
    looks: list[bool] = []

    def usages() -> list[Usage]:
        looks.append(watching.is_short)
        if watching.is_short and len(looks) > 3:
            raise OSError("unreadable")
        return machine.usages()

    watching = MemoryWatch(usages=usages, give_back=machine.give_back)
    with pytest.raises(OSError, match="unreadable"):
        await watching.keep()
    assert any(looks)
    assert not watching.is_short


def test_reads_this_process_against_its_setting(settings: Any) -> None:
    settings.MAX_MEMORY_PART = 0
    assert list(watch.usages()) == []
    settings.MAX_MEMORY_BYTES = 2**40
    (usage,) = watch.usages()
    assert usage.of == "process"
    assert 2**24 < usage.used < usage.bound == 2**40


def test_gives_the_system_back_what_was_freed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FILL_AND_FREE], check=True, capture_output=True, text=True
    )
    full, left = map(int, done.stdout.split())
    assert left < full / 5
