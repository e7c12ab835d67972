from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest

from accounts.principals import memory, proving
from accounts.principals.identify import identify_token
from accounts.principals.principal import Principal, Proof, Scheme
from accounts.principals.proving import register_prover
from accounts.tokens.reasons import Reason, refuse
from gateway_core import cache

USER_ID = uuid4()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    tokens: list[bytes] = []

    def prove(token: bytes) -> Proof:
        tokens.append(token)
        if token != b"tst_good":
            raise refuse(Reason.SIGNATURE)
        return Proof(
            principal=Principal(
                user_id=USER_ID,
                email="",
                is_anonymous=False,
                scheme=Scheme.API_KEY,
                expires_at=time.time() + 60,
                api_key_id=UUID(int=7),
            )
        )

    monkeypatch.setattr(proving, "_provers", {})
    register_prover(b"tst_", prove)
    yield tokens
    cache.clear_all()


@pytest.mark.django_db(transaction=True)
async def test_asks_whoever_registered_the_prefix_and_remembers(asked: list[bytes]) -> None:
    first = await identify_token(b"tst_good")
    assert (first.user_id, first.api_key_id) == (USER_ID, UUID(int=7))
    assert await identify_token(b"tst_good") is first
    assert asked == [b"tst_good"]


@pytest.mark.django_db(transaction=True)
async def test_asks_again_once_the_user_is_forgotten(asked: list[bytes]) -> None:
    await identify_token(b"tst_good")
    memory.forget_user(USER_ID)
    await identify_token(b"tst_good")
    assert len(asked) == 2


def test_keeps_keys_out_of_the_control_plane(asked: list[bytes], gateway: str) -> None:
    answer = httpx.get(f"{gateway}/api/v1/me", headers={"authorization": "Bearer tst_good"})
    assert (answer.status_code, answer.json()["code"]) == (403, "policy_scope_missing")
    assert asked
