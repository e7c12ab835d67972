from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts.models import User
from gateway_core.errors import FieldInvalid
from gateway_core.pages import KeysetPagination

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class ByName(KeysetPagination):
    columns = ("username",)


def page(pagination: KeysetPagination, **query: Any) -> tuple[list[Any], str | None]:
    request = Request(APIRequestFactory().get("/", query))
    rows = pagination.paginate_queryset(User.objects.all(), request)
    answer: Any = pagination.get_paginated_response(rows).data
    return answer["data"], answer["next_cursor"]


def all_pages(limit: int) -> list[list[Any]]:
    pages: list[list[Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        rows, cursor = page(KeysetPagination(), limit=limit, cursor=cursor)
        pages.append(rows)
    return pages


def make_users(ages: list[int]) -> list[User]:
    """Make users so many microseconds after the beginning; return them the newest first."""
    User.objects.all().delete()
    users = User.objects.bulk_create(User(username=f"u{number}") for number in range(len(ages)))
    for user, age in zip(users, ages, strict=True):
        user.created_at = _BEGINNING + timedelta(microseconds=age)
    User.objects.bulk_update(users, ["created_at"])
    return sorted(users, key=lambda user: (user.created_at, user.pk), reverse=True)


@pytest.mark.django_db
@given(ages=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
def test_shows_every_row_once_in_order_whatever_its_neighbours(ages: list[int], limit: int) -> None:
    expected = make_users(ages)
    pages = all_pages(limit)

    assert [row for rows in pages for row in rows] == expected
    assert all(len(rows) == limit for rows in pages[:-1])


@pytest.mark.django_db
def test_orders_by_the_columns_of_a_subclass() -> None:
    make_users([0, 0, 0])
    (first,), cursor = page(ByName(), limit=1)
    (second, third), end = page(ByName(), limit=2, cursor=cursor)

    assert [first.username, second.username, third.username] == ["u2", "u1", "u0"]
    assert end is None


@pytest.mark.django_db
def test_takes_only_cursors_that_it_gave_out() -> None:
    make_users([0, 1])
    _, cursor = page(ByName(), limit=1)
    assert cursor

    for forged in (cursor[:-1], f"x{cursor}", "é", ":", "WyJ1MSJd"):
        with pytest.raises(FieldInvalid):
            page(ByName(), cursor=forged)
    with pytest.raises(FieldInvalid):
        page(KeysetPagination(), cursor=cursor)


@pytest.mark.django_db
def test_has_fifty_rows_when_nobody_says_how_many() -> None:
    make_users([0] * 51)
    rows, cursor = page(KeysetPagination())

    assert len(rows) == 50
    assert cursor
