from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import jwt
import pytest

from accounts import conf
from gateway_core import cache
from tests.conftest import RunningSupabase


@dataclass(frozen=True)
class Visit:
    """A session of a user at Supabase, with a token of it."""

    token: bytes
    user_id: UUID
    session_id: UUID

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token.decode()}"}


SignIn = Callable[..., Visit]


@pytest.fixture
def sign_in(supabase: RunningSupabase) -> Iterator[SignIn]:
    """Open one more session of a user, who is made when new; nothing is remembered of anybody."""
    conf.verifier.cache_clear()
    cache.clear_all()

    def sign_in(email: str = "alice@example.com", **claims: object) -> Visit:
        token = supabase.token(email, **claims)
        read = jwt.decode(token, options={"verify_signature": False})
        return Visit(token.encode(), UUID(read["sub"]), UUID(read["session_id"]))

    yield sign_in
    cache.clear_all()
    conf.verifier.cache_clear()
