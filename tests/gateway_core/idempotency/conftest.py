from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from gateway_core.idempotency.keys import KeyedRequest, fingerprint
from gateway_core.idempotency.outcomes import Answer

Keyed = Callable[..., KeyedRequest]
ANSWER = Answer(status=201, headers=(("content-type", "application/json"),), body=b'{"id": 1}')


@pytest.fixture
def user(db: None) -> User:
    del db
    return User.objects.create(email="alice@example.com")


@pytest.fixture
def keyed(user: User) -> Keyed:
    def make(body: bytes = b"{}", **members: Any) -> KeyedRequest:
        usual: dict[str, Any] = {"user_id": user.pk, "route": "POST /api/v1/things", "key": "k-1"}
        return KeyedRequest(**usual | {"fingerprint": fingerprint(b"", body)} | members)

    return make
