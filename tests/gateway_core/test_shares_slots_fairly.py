from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_core.bulkhead import Bulkhead
from gateway_core.errors import GatewayOverloaded
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def bulkhead(slots: int = 1, places: int = 1000, patience: float = 30) -> Bulkhead:
    return Bulkhead(slots=lambda: slots, places=lambda: places, patience_seconds=lambda: patience)


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


class Crowd:
    """Requests that hold a slot until they are let go, and the order in which they had one."""

    def __init__(self, shared: Bulkhead) -> None:
        self.shared = shared
        self.served: list[str] = []
        self._done: list[asyncio.Event] = []

    async def request(self, user: str) -> None:
        async with self.shared.slot(user):
            self.served.append(user)
            done = asyncio.Event()
            self._done.append(done)
            await done.wait()

    def let_go(self, turn: int) -> None:
        self._done[turn].set()

    async def let_go_one_by_one(self) -> None:
        await settle()
        for_turn = 0
        while for_turn < len(self._done):
            self.let_go(for_turn)
            for_turn += 1
            await settle()


@settings(max_examples=60, deadline=None)
@given(
    waiting=st.integers(1, 200),
    slots=st.integers(1, 60),
    others=st.integers(0, 5),
)
def test_delays_a_single_request_by_one_slot_however_many_another_user_has_waiting(
    waiting: int, slots: int, others: int
) -> None:
    async def scenario() -> None:
        crowd = Crowd(bulkhead(slots))
        async with asyncio.TaskGroup() as group:
            for _ in range(slots + waiting):
                group.create_task(crowd.request("busy"))
            await settle()
            for number in range(others):
                group.create_task(crowd.request(f"other {number}"))
            await settle()
            group.create_task(crowd.request("single"))
            await settle()
            await crowd.let_go_one_by_one()
        given_out = crowd.served[slots - slots // 10 :]
        assert given_out[: given_out.index("single")].count("busy") <= 1
        assert Counter(crowd.served)["busy"] == slots + waiting

    asyncio.run(scenario())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 4))
def test_loses_no_slot_when_those_who_wait_leave(
    arrivals: list[tuple[str, bool]], slots: int
) -> None:
    async def scenario() -> None:
        shared = bulkhead(slots)
        crowd = Crowd(shared)
        tasks = []
        for user, leaves in arrivals:
            task = spawn(crowd.request(user))
            tasks.append(task)
            await settle()
            if leaves:
                task.cancel()
        await crowd.let_go_one_by_one()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (shared.in_use, shared.waiting) == (0, 0)
        assert len(crowd.served) >= sum(not leaves for _, leaves in arrivals)

    asyncio.run(scenario())


async def test_gives_no_slot_to_whoever_leaves_at_the_moment_it_is_free() -> None:
    shared = bulkhead()
    crowd = Crowd(shared)
    holder = spawn(crowd.request("bob"))
    await settle()
    leaving, staying = spawn(crowd.request("alice")), spawn(crowd.request("carol"))
    await settle()
    crowd.let_go(0)
    leaving.cancel()  # both hear of it in the loop's next round, the holder first
    await crowd.let_go_one_by_one()
    await asyncio.gather(holder, staying, leaving, return_exceptions=True)
    assert crowd.served == ["bob", "carol"]
    assert (holder.exception(), leaving.cancelled()) == (None, True)
    assert (shared.in_use, shared.waiting) == (0, 0)


async def test_makes_room_when_the_one_to_go_is_leaving_already() -> None:
    shared = bulkhead(places=3)
    crowd = Crowd(shared)
    tasks = [spawn(crowd.request("many")) for _ in range(4)]
    await settle()
    single = spawn(crowd.request("single"))
    tasks[-1].cancel()
    await crowd.let_go_one_by_one()
    await asyncio.gather(*tasks[:-1], single)
    assert (tasks[-1].cancelled(), shared.in_use, shared.waiting) == (True, 0, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 99)), max_size=80),
    st.integers(1, 8),
)
def test_gives_each_slot_to_whoever_has_the_fewest_of_those_who_wait(
    steps: list[tuple[int, bool, int]], slots: int
) -> None:
    async def scenario() -> None:
        shared = bulkhead(slots)
        under_way: list[tuple[int, asyncio.Event]] = []
        waiting: Counter[int] = Counter()

        async def request(user: int) -> None:
            waiting[user] += 1
            async with shared.slot(user):
                has = Counter(holder for holder, _ in under_way)
                assert has[user] == min(has[one] for one in waiting)
                waiting.subtract([user])
                waiting[user] or waiting.pop(user)
                done = asyncio.Event()
                under_way.append((user, done))
                await done.wait()

        async with asyncio.TaskGroup() as group:
            for user, ends_one, which in steps:
                if ends_one and under_way:
                    under_way.pop(which % len(under_way))[1].set()
                else:
                    group.create_task(request(user))
                await settle()
                assert shared.in_use == min(slots, shared.in_use + waiting.total())
            while under_way:
                under_way.pop()[1].set()
                await settle()
        assert (shared.in_use, shared.waiting, shared._held) == (0, 0, {})

    asyncio.run(scenario())


@settings(max_examples=40, deadline=None)
@given(slots=st.integers(1, 20), users=st.integers(2, 8))
def test_has_all_slots_shared_out_once_the_calls_of_who_was_alone_have_ended(
    slots: int, users: int
) -> None:
    async def scenario() -> None:
        shared = bulkhead(slots)
        for_all = slots - slots // 10
        has: Counter[int] = Counter()
        alone, others = asyncio.Event(), asyncio.Event()

        async def request(user: int, until: asyncio.Event) -> None:
            async with shared.slot(user):
                has[user] += 1
                await until.wait()
                has[user] -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(slots):
                group.create_task(request(0, alone))
            await settle()
            assert has[0] == for_all
            for user in range(users):
                for _ in range(slots):
                    group.create_task(request(user, others))
            await settle()
            assert shared.wants_back(0) is (slots > 1)
            alone.set()
            await settle()
            assert for_all <= has.total() <= slots
            assert max(has.values()) - min(has.values()) <= 1
            others.set()

    asyncio.run(scenario())


async def test_wants_nothing_back_for_whose_own_others_wait() -> None:
    crowd = Crowd(bulkhead(slots=4))
    tasks = [spawn(crowd.request(user)) for user in "aaab" + "a" * 5]
    await settle()
    wanted = [crowd.shared.wants_back("a")]
    tasks.append(spawn(crowd.request("b")))
    await settle()
    wanted += [crowd.shared.wants_back("a"), crowd.shared.wants_back("b")]
    assert wanted == [False, True, False]
    await crowd.let_go_one_by_one()
    await asyncio.gather(*tasks)


async def test_keeps_the_last_tenth_for_users_who_have_none() -> None:
    crowd = Crowd(bulkhead(20))
    async with asyncio.TaskGroup() as group:
        for user in ("one", "other"):
            for _ in range(15):
                group.create_task(crowd.request(user))
            await settle()
        assert len(crowd.served) == 18
        for user in ("third", "third", "fourth"):
            group.create_task(crowd.request(user))
            await settle()
        assert crowd.served[18:] == ["third", "fourth"]
        await crowd.let_go_one_by_one()
    assert Counter(crowd.served) == {"one": 15, "other": 15, "third": 2, "fourth": 1}
    assert (crowd.shared.in_use, crowd.shared.waiting) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(slots=st.integers(20, 200), part=st.integers(1, 10))
def test_lets_whoever_has_less_than_their_share_wait_for_one_slot_only(
    slots: int, part: int
) -> None:
    spared = slots // 10

    async def scenario() -> None:
        crowd = Crowd(bulkhead(slots))
        async with asyncio.TaskGroup() as group:
            for _ in range(2 * slots):
                group.create_task(crowd.request("busy"))
            await settle()
            for number in range(max(1, spared * part // 10)):
                group.create_task(crowd.request(f"other {number}"))
            await settle()
            group.create_task(crowd.request("other 0"))
            await settle()
            assert Counter(crowd.served)["other 0"] == 1
            crowd.let_go(0)  # one of the busy one's
            await settle()
            assert Counter(crowd.served)["other 0"] == 2
            await crowd.let_go_one_by_one()

    asyncio.run(scenario())


async def test_never_has_more_under_way_than_slots() -> None:
    shared = bulkhead(slots=3)
    most = 0

    async def one(user: int) -> None:
        nonlocal most
        async with shared.slot(user):
            most = max(most, shared.in_use)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(number % 7) for number in range(100)))
    assert most == 3


async def _refused(request: Awaitable[None]) -> None:
    with pytest.raises(GatewayOverloaded):
        await request


async def test_sends_the_newest_of_the_busiest_away_when_the_queue_is_full() -> None:
    crowd = Crowd(bulkhead(slots=1, places=3))
    first = [spawn(crowd.request("busy")) for _ in range(4)]
    await settle()
    single = spawn(crowd.request("single"))
    await settle()
    await _refused(first[3])
    await _refused(crowd.request("busy"))
    await crowd.let_go_one_by_one()
    await asyncio.gather(*first[:3], single)
    assert sorted(crowd.served) == ["busy", "busy", "busy", "single"]


async def test_waits_no_longer_than_it_may() -> None:
    shared = bulkhead(slots=1, patience=0.02)
    crowd = Crowd(shared)
    holder = spawn(crowd.request("a"))
    await settle()
    await _refused(crowd.request("b"))
    await crowd.let_go_one_by_one()
    await holder
    assert (shared.in_use, shared.waiting) == (0, 0)


async def test_uses_slots_that_are_added_while_requests_wait() -> None:
    slots = 1
    now: Callable[[], int] = lambda: slots  # noqa: E731 - changes below
    shared = Bulkhead(slots=now, places=lambda: 10, patience_seconds=lambda: 30)
    crowd = Crowd(shared)
    tasks = [spawn(crowd.request("a")) for _ in range(3)]
    await settle()
    slots = 10
    tasks.append(spawn(crowd.request("b")))
    await settle()
    assert shared.in_use == 4
    await crowd.let_go_one_by_one()
    await asyncio.gather(*tasks)
