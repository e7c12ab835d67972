from __future__ import annotations

import threading

import pytest
from django.db import connection

from gateway_core import context
from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.pooled import give_back_connection

pytestmark = pytest.mark.django_db(transaction=True)


def tries(name: str) -> bool:
    """Say whether another connection gets the lock."""
    got: list[bool] = []

    def attempt() -> None:
        try:
            with only_one(name):
                got.append(True)
        except AlreadyRunning:
            got.append(False)
        finally:
            connection.close()

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return got[0]


def test_lets_nobody_else_in_while_it_is_held() -> None:
    with only_one("sweep"):
        assert not tries("sweep")
        assert tries("mend")
    assert tries("sweep")


def test_is_free_again_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), only_one("sweep"):
        _ = 1 / 0
    assert tries("sweep")


def test_keeps_its_connection_while_a_request_waits_for_an_upstream() -> None:
    context.begin({"method": "POST", "path": "/", "headers": []})
    with only_one("sweep"):
        before = connection.connection
        give_back_connection()
        assert connection.connection is before
        assert not tries("sweep")
    assert tries("sweep")
