"""Everything behind the gateway: the one list for whoever has to know it all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from accounts.supabase import client as supabase
from agents.drivers import ams
from gateway_core.breaker import Breaker
from letta_proxy import client as letta
from llm_proxy.client import connections as litellm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_core.upstream import Upstream

_REFRESH_SECONDS: Final = 0.5


def upstreams() -> Sequence[Upstream]:
    """Return those of the data plane."""
    return litellm.upstream(), letta.upstream(), letta.turns()


def breakers() -> dict[str, Breaker]:
    """Return all breakers by their names."""
    every = (*(upstream.breaker for upstream in upstreams()), ams.BREAKER, supabase.BREAKER)
    return {breaker.name: breaker for breaker in every}


async def keep_up() -> None:
    """Hear all the time what other processes have made of the circuits."""
    while True:
        await Breaker.refresh(list(breakers().values()))
        await asyncio.sleep(_REFRESH_SECONDS)
