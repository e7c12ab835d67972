from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway_core import valkey
from gateway_core.breaker import Breaker
from gateway_core.breaker.store import OwnStore
from tests.gateway_core.breaker.circuits import (
    POLICY,
)
from tests.timing import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("test", lambda: POLICY, store=OwnStore(), clock=clock, wall_clock=clock)


@pytest.fixture
async def shared() -> AsyncIterator[str]:
    yield f"test-{uuid4()}"
    await valkey.close()
