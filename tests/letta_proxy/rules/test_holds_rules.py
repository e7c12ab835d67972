"""The rules in one process: read once, renewed in time, never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from django.db import OperationalError

from gateway_core import cache
from gateway_core.errors import DatabaseUnavailable
from letta_proxy.rules.book import TTL_SECONDS, RuleBook
from letta_proxy.rules.decisions import RuleSet
from tests.timing import Clock


@dataclass
class Table:
    """What there is to read, and whether it can be read."""

    version: int = 1
    is_away: bool = False
    reads: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    reading: threading.Event = field(default_factory=threading.Event)

    def load(self) -> RuleSet:
        self.reads += 1
        seen = self.version
        self.reading.set()
        assert self.gate.wait(10)
        if self.is_away:
            raise OperationalError("connection refused")
        return RuleSet({(str(seen), None): ()})


def version(rules: RuleSet) -> int:
    ((name, _),) = rules.groups
    return int(name)


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table()
    table.gate.set()
    yield table
    table.gate.set()


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


@pytest.fixture
def book(table: Table, clock: Clock) -> RuleBook:
    return RuleBook(f"rules of a test {next(_numbers)}", load=table.load, clock=clock)


_numbers = count()


async def read(table: Table) -> None:
    await asyncio.to_thread(table.reading.wait, 10)
    table.reading.clear()


async def soon(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)


async def test_reads_once_for_all_who_ask(book: RuleBook, table: Table) -> None:
    rules = await asyncio.gather(*(book.current() for _ in range(50)))
    await book.current()

    assert {version(one) for one in rules} == {1}
    assert table.reads == 1


async def test_lets_nothing_through_before_the_first_reading(book: RuleBook, table: Table) -> None:
    table.is_away = True
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable) as refusal:
            await book.current()
        assert refusal.value.status == 503

    table.is_away = False
    assert version(await book.current()) == 1


async def test_has_new_rules_for_the_first_request_after_a_change(
    book: RuleBook, table: Table
) -> None:
    await book.current()
    table.version = 2
    assert version(await book.current()) == 1

    book.forget()

    assert version(await book.current()) == 2


async def test_renews_rules_of_their_own_accord_when_no_broadcast_comes(
    book: RuleBook, table: Table, clock: Clock
) -> None:
    await book.current()
    table.version = 2

    clock.now = TTL_SECONDS - 1
    assert version(await book.current()) == 1
    clock.now = TTL_SECONDS
    assert version(await book.current()) == 2


async def test_renews_rules_when_broadcasts_may_have_been_missed(
    book: RuleBook, table: Table
) -> None:
    await book.current()
    table.version = 2

    cache.clear_all()

    assert version(await book.current()) == 2


async def test_reads_again_when_rules_change_while_they_are_read(
    book: RuleBook, table: Table
) -> None:
    table.gate.clear()
    waiting = asyncio.ensure_future(book.current())
    await read(table)
    table.version = 2
    book.forget()
    table.gate.set()

    assert version(await waiting) == 2
    assert table.reads == 2


async def test_keeps_the_rules_it_has_while_the_database_is_away(
    book: RuleBook, table: Table, clock: Clock
) -> None:
    await book.current()
    table.is_away = True

    clock.now = TTL_SECONDS
    assert version(await book.current()) == 1
    reads = table.reads
    assert version(await book.current()) == 1
    await asyncio.sleep(0.03)
    assert table.reads == reads  # one attempt a second is enough

    table.version, table.is_away = 2, False
    clock.now += 1
    await book.current()
    await soon(lambda: table.reads > reads)
    await soon(lambda: not book._is_failing)
    assert version(await book.current()) == 2


async def test_makes_nobody_wait_for_a_database_that_hangs(
    book: RuleBook, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letta_proxy.rules.book._PATIENCE_SECONDS", 0.02)
    await book.current()
    table.version = 2
    table.gate.clear()
    book.forget()

    async with asyncio.timeout(30):
        assert version(await book.current()) == 1

    table.gate.set()
    await soon(lambda: book._fresh.get("rules") is not None)
    assert version(await book.current()) == 2


async def test_goes_on_reading_when_the_one_who_asked_first_leaves(
    book: RuleBook, table: Table
) -> None:
    table.gate.clear()
    first, second = (asyncio.ensure_future(book.current()) for _ in range(2))
    await read(table)
    first.cancel()
    table.gate.set()

    assert version(await second) == 1
    assert table.reads == 1
