from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway_project.sandbox.ams import create_app
from gateway_project.sandbox.serving import LoopbackServer
from tests.conftest import Running, RunningSupabase, serve
from tests.failures.world import World, running_world


@pytest.fixture(scope="session")
def own_supabase() -> Iterator[RunningSupabase]:
    """Knows everybody in the world to the end, whatever other tests have theirs forget."""
    yield from serve("supabase", LoopbackServer(), RunningSupabase)


@pytest.fixture(scope="session")
def world(
    own_supabase: RunningSupabase,
    litellm_server: Running,
    letta_server: Running,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    with LoopbackServer() as server:
        ams = Running(server.url, {"AMS_API_KEY": "ams-key"})
        stand_in: Any = create_app(api_key="ams-key")
        server.start(stand_in)
        with running_world(
            tmp_path_factory.mktemp("failures"),
            supabase=own_supabase,
            litellm=litellm_server,
            letta=letta_server,
            ams=ams,
        ) as running:
            yield running
        ams.client.close()
