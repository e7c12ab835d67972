from __future__ import annotations

import pytest
from django.test import RequestFactory

from gateway_project.throttling import ForgivingRedisCache, address, seconds_to_wait


def _waits(times: int, *, who: str = "somebody") -> list[int | None]:
    request = RequestFactory().get("/")
    return [
        seconds_to_wait(request, group="test", rate="3/h", who=who)  # one window outlives the test
        for _ in range(times)
    ]


def test_lets_so_many_pass_and_says_how_long_to_wait() -> None:
    waits = _waits(5)

    assert waits[:3] == [None, None, None]
    assert all(wait is not None and 1 <= wait <= 3600 for wait in waits[3:])


def test_counts_each_caller_alone() -> None:
    _waits(4, who="alice")

    assert _waits(1, who="bob") == [None]


@pytest.mark.usefixtures("without_valkey")
def test_goes_on_counting_in_the_process_when_valkey_is_gone() -> None:
    waits = _waits(4)

    assert waits[:3] == [None, None, None]
    assert waits[3] is not None
    assert ForgivingRedisCache.outage.is_on


def test_raises_a_counter_that_valkey_took_along(without_valkey: ForgivingRedisCache) -> None:
    assert without_valkey.incr("never-added") == 1
    assert without_valkey.incr("never-added") == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_takes_the_network_of_an_ipv6_address_for_one_caller(given: str, expected: str) -> None:
    assert address(RequestFactory(REMOTE_ADDR=given).get("/")) == expected
