from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from gateway_project.sandbox import supabase as supabase_stand_in
from gateway_project.sandbox.serving import LoopbackServer
from tests.end_to_end.gateway_process import run_gateway
from tests.end_to_end.models import AGENT_EMBEDDING, AGENT_MODEL
from tests.end_to_end.people import Clients, Supabase
from tests.end_to_end.tcp_relay import TcpRelay
from tests.end_to_end.upstream_views import (
    LettaAdmin,
    LiteLLMAdmin,
    StubLog,
    running_upstreams,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    import openai
    from letta_client import Letta
    from letta_client.types import AgentState

    from tests.end_to_end.gateway_process import Gateway
    from tests.end_to_end.people import Person
    from tests.end_to_end.tcp_relay import TcpRelay
from tests.end_to_end.upstream_views import Upstreams


@pytest.fixture(scope="session")
def upstreams() -> Upstreams:
    return running_upstreams()


@pytest.fixture(scope="session")
def supabase() -> Iterator[Supabase]:
    with LoopbackServer() as server:
        server.start(supabase_stand_in.create_app(url=server.url))
        yield Supabase(server.url)


@pytest.fixture(scope="session")
def way_to_letta(upstreams: Upstreams) -> Iterator[TcpRelay]:
    with TcpRelay(upstreams.settings["LETTA_BASE_URL"]) as relay:
        yield relay


@pytest.fixture(scope="session")
def gateway(
    upstreams: Upstreams,
    way_to_letta: TcpRelay,
    supabase: Supabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    settings = {
        **upstreams.settings,
        "LETTA_BASE_URL": way_to_letta.url,
        "SUPABASE_URL": supabase.url,
        "SUPABASE_KEY": supabase_stand_in.PUBLISHABLE_KEY,
        "SUPABASE_SERVICE_KEY": supabase_stand_in.SECRET_KEY,
    }
    with run_gateway(tmp_path_factory.mktemp("gateway"), settings) as running:
        yield running


@pytest.fixture(scope="session")
def alice(supabase: Supabase) -> Person:
    return supabase.sign_up("alice")


@pytest.fixture(scope="session")
def bob(supabase: Supabase) -> Person:
    return supabase.sign_up("bob")


@pytest.fixture
def new_person(supabase: Supabase) -> Callable[[str], Person]:
    return supabase.sign_up


@pytest.fixture
def clients(gateway: Gateway) -> Iterator[Clients]:
    clients = Clients(gateway)
    yield clients
    clients.close()


@pytest.fixture
def openai_client(clients: Clients) -> Callable[[Person], openai.OpenAI]:
    return clients.openai


@pytest.fixture
def letta_client(clients: Clients) -> Callable[[Person], Letta]:
    return clients.letta


@pytest.fixture
def alice_llm(clients: Clients, alice: Person) -> openai.OpenAI:
    return clients.openai(alice)


@pytest.fixture
def alice_letta(clients: Clients, alice: Person) -> Letta:
    return clients.letta(alice)


@pytest.fixture
def alice_http(clients: Clients, alice: Person) -> httpx.Client:
    return clients.http(alice)


@pytest.fixture
def model_stub(upstreams: Upstreams) -> StubLog:
    return StubLog(upstreams.model_stub_url)


@pytest.fixture
def fast_stub(upstreams: Upstreams) -> StubLog:
    return StubLog(upstreams.fast_stub_url)


@pytest.fixture
def litellm_admin(upstreams: Upstreams) -> Iterator[LiteLLMAdmin]:
    admin = LiteLLMAdmin(upstreams)
    yield admin
    admin.close()


@pytest.fixture
def letta_admin(upstreams: Upstreams) -> Iterator[LettaAdmin]:
    admin = LettaAdmin(upstreams)
    yield admin
    admin.close()


@pytest.fixture
def mark() -> str:
    """A word that nothing else contains, to find a request again behind the gateway."""
    return f"mark{uuid4().hex}"


@pytest.fixture
def make_agent() -> Iterator[Callable[..., AgentState]]:
    """Creates agents that think with the stub model, and deletes them afterwards."""
    made: list[tuple[Letta, str]] = []

    def make(letta: Letta, **fields: Any) -> AgentState:
        wanted: dict[str, Any] = {
            "name": f"agent-{uuid4().hex[:8]}",
            "model": AGENT_MODEL,
            "embedding": AGENT_EMBEDDING,
            "memory_blocks": [{"label": "human", "value": "Name: Ann"}],
        }
        agent = letta.agents.create(**{**wanted, **fields})
        made.append((letta, agent.id))
        return agent

    yield make
    for letta, agent_id in made:
        letta.agents.delete(agent_id)


@pytest.fixture
def agent(alice_letta: Letta, make_agent: Callable[..., AgentState]) -> AgentState:
    return make_agent(alice_letta)
