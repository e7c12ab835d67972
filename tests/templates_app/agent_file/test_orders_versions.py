from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_app.agent_file.versions import parse

# SemVer 2.0.0 §11, and what its rules say of the rest.
_ASCENDING = [
    "0.0.1",
    "0.9.9",
    "0.10.0",
    "1.0.0-0",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0--",
    "1.0.0-A",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-alpha-",
    "1.0.0-alpha0",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-beta.11.0",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1-alpha",
    "2.1.0",
    "2.1.1",
    "10.0.0",
]


@pytest.mark.parametrize(("lower", "higher"), [*pairwise(_ASCENDING)])
def test_puts_versions_in_order_of_precedence(lower: str, higher: str) -> None:
    assert parse(lower).precedence < parse(higher).precedence


def test_takes_no_notice_of_build_metadata() -> None:
    assert parse("1.0.0+linux").precedence == parse("1.0.0+mac.2").precedence
    assert parse("1.0.0+linux").text == "1.0.0+linux"


def test_tells_pre_releases_from_releases() -> None:
    assert parse("1.0.0-rc.1").is_prerelease
    assert not parse("1.0.0+rc.1").is_prerelease


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0-a..b"),
        *("1.0.0+", "1.0.0-ä", "1.0.0 ", "1.0.0\n", "-1.0.0", "1.0.x", "٣.0.0", "1.0.0-٣"),
        *("1234567890.0.0", f"1.0.0-{'a' * 64}", "latest"),
    ],
)
def test_refuses_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="semantic version"):
        parse(text)


_words = st.from_regex(r"(0|[1-9][0-9]{0,5}|[0-9]{0,3}[A-Za-z-][0-9A-Za-z-]{0,4})", fullmatch=True)
_prereleases = st.lists(_words, min_size=1, max_size=4)


def _by_the_book(words: list[str]) -> list[tuple[int, int, str]]:
    return [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in words]


@given(_prereleases, _prereleases)
def test_orders_any_pre_releases_as_the_specification_says(
    left: list[str], right: list[str]
) -> None:
    keys = [parse(f"1.0.0-{'.'.join(words)}").precedence for words in (left, right)]

    assert (keys[0] < keys[1]) == (_by_the_book(left) < _by_the_book(right))
    assert (keys[0] == keys[1]) == (left == right)
