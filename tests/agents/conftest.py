from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from agents.models import Agent
from gateway_project.sandbox.ams import create_app
from gateway_project.sandbox.serving import LoopbackServer
from letta_proxy.models import LettaAccount
from tests.conftest import Running

MODEL = "openai-proxy/stub-chat"
EMBEDDING = "openai/text-embedding-3-small"


def agent_file(version: str = "1.0.0", **members: Any) -> dict[str, Any]:
    """Return an Agent File that uses a variable in each place, and a secret one."""
    return {
        "af_version": "1.0",
        "template": {"name": "helper", "version": version},
        "engine": {"model": MODEL, "embedding": EMBEDDING},
        "persona": {
            "system_prompt": "You help {{user_name}}.",
            "variables_schema": {
                "type": "object",
                "required": ["user_name"],
                "properties": {
                    "user_name": {"type": "string", "maxLength": 50},
                    "tone": {"type": "string", "default": "kind"},
                    "search_key": {"type": "string", "x-secret": True},
                },
            },
        },
        "memory_layout": {
            "blocks": [
                {"label": "human", "value": "Name: {{user_name}}", "limit": 2000},
                {"label": "rules", "value": "Be {{tone}}.", "read_only": True},
            ]
        },
        "tools": ["memory_insert", "archival_memory_insert", "archival_memory_search"],
        **members,
    }


@dataclass(frozen=True)
class Caller:
    """Somebody with a token."""

    client: httpx.Client

    def __call__(self, method: str, path: str, **parts: Any) -> httpx.Response:
        return self.client.request(method, f"/api/v1{path}", **parts)

    def get(self, path: str, **parts: Any) -> Any:
        answer = self("GET", path, **parts)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, **parts: Any) -> Any:
        answer = self("POST", path, **parts)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def publish(self, **members: Any) -> str:
        """Publish an Agent File and return the template's id."""
        published = self.post("/ams/templates/publish", json=agent_file(**members))
        return str(published["template_id"])

    def create(self, template_id: str, **members: Any) -> dict[str, Any]:
        """Make an agent and return it."""
        body = {"template_id": template_id, "variables": {"user_name": "Ann"}, **members}
        return dict(self.post("/agents", json=body)["agent"])

    def letta(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Use Letta's own API."""
        return self(method, f"/letta/v1{path}", **parts)


@pytest.fixture(scope="session")
def ams_server(letta_server: Running) -> Iterator[Running]:
    """The sandbox's remote AMS, with the tests' Letta behind it."""
    del letta_server
    with LoopbackServer() as server:
        server.start(create_app(api_key="ams-key"))
        running = Running(server.url, {"AMS_API_KEY": "ams-key"})
        yield running
        running.client.close()


@pytest.fixture
def ams(ams_server: Running) -> Running:
    ams_server.reset()
    return ams_server


# For tests of what does not depend on who manages agents.
BOTH_DRIVERS = pytest.mark.parametrize("driver", ["local", "remote"], indirect=True)


@pytest.fixture
def driver(request: pytest.FixtureRequest, gateway: str, settings: Any) -> str:
    """Who manages agents: the gateway itself, or a remote AMS."""
    del gateway
    name = str(getattr(request, "param", "local"))
    if name == "remote":
        ams: Running = request.getfixturevalue("ams")
        settings.AMS_BASE_URL, settings.AMS_API_KEY = ams.url, ams.credentials["AMS_API_KEY"]
    return name


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client], driver: str) -> Caller:
    del driver
    return Caller(client_for("alice@example.com"))


@pytest.fixture
def bob(client_for: Callable[[str], httpx.Client]) -> Caller:
    return Caller(client_for("bob@example.com"))


@pytest.fixture
def template(alice: Caller) -> str:
    return alice.publish()


@pytest.fixture
def agent(alice: Caller, template: str) -> dict[str, Any]:
    return alice.create(template, tags=["vip"], agent_name="Ada")


@dataclass(frozen=True)
class InLetta:
    """What Letta has of a user, whatever the gateway says of it."""

    letta: Running

    def ids(self, collection: str = "agents", email: str = "alice@example.com") -> list[str]:
        """Return the ids of their agents, blocks or archives."""
        return sorted(row["id"] for row in self("GET", f"/{collection}/?limit=100", email=email))

    def __call__(
        self, method: str, path: str, email: str = "alice@example.com", **parts: Any
    ) -> Any:
        account = LettaAccount.objects.get(user__email=email)
        headers = {
            "authorization": f"Bearer {self.letta.credentials['LETTA_API_KEY']}",
            "user_id": account.letta_user_id,
        }
        answer = self.letta.client.request(method, f"/v1{path}", headers=headers, **parts)
        return answer.raise_for_status().json() if answer.content else None


@pytest.fixture
def in_letta(letta: Running) -> InLetta:
    return InLetta(letta)


def rows() -> list[Agent]:
    return list(Agent.objects.order_by("created_at"))
