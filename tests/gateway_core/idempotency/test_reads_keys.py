from __future__ import annotations

from uuid import UUID

import pytest

from gateway_core.errors import RequestMalformed
from gateway_core.idempotency.keys import KeyedRequest, fingerprint, read_key


@pytest.mark.parametrize("key", ["a", "k" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324", '"q"'])
def test_takes_what_is_printable(key: str) -> None:
    assert read_key(key) == key


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "a\x00", "é", "a\n", "\x7f"])
def test_refuses_what_is_not(key: str) -> None:
    with pytest.raises(RequestMalformed) as caught:
        read_key(key)

    assert caught.value.status == 400
    assert caught.value.param == "Idempotency-Key"


def test_tells_query_and_body_apart() -> None:
    assert fingerprint(b"a=1", b"2") != fingerprint(b"a=", b"12")
    assert fingerprint(b"a=1", b"2") == fingerprint(b"a=1", b"2")


def test_tells_key_and_route_apart() -> None:
    def scope(key: str, route: str) -> str:
        return KeyedRequest(user_id=UUID(int=1), route=route, key=key, fingerprint="").scope

    assert scope("k", "POST /a") == scope("k", "POST /a")
    assert len({scope("k", "POST /a"), scope("k", "POST /b"), scope("l", "POST /a")}) == 3
