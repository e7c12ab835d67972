"""What is served and what is not while memory is short, on both planes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.test import Client

from accounts.models import User
from gateway_core.memory import MEMORY, Usage
from gateway_project.system import views
from llm_proxy.agent_proxy.secrets import Claim, secret_of
from tests.timing import wait_until

_SPEAK = {"model": "stub-chat", "messages": [{"role": "user", "content": "hi"}]}
SignIn = Callable[[str], httpx.Client]


@pytest.fixture
def short(gateway: str) -> Iterator[None]:
    """Have the running gateway find its memory full."""
    del gateway
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MEMORY, "_usages", lambda: [Usage("container", 1000, 900)])
        patch.setattr(MEMORY, "_give_back", lambda: None)  # it would find other tests' garbage
        wait_until(lambda: MEMORY.is_short)
        views.readiness.forget()
        yield
    wait_until(lambda: not MEMORY.is_short)
    views.readiness.forget()


@pytest.fixture
def staff(gateway: str) -> Iterator[httpx.Client]:
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", "right-password"))
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    with httpx.Client(base_url=gateway, cookies=cookies) as client:
        yield client


@pytest.fixture
def agent_calls(client_for: SignIn) -> Callable[[], httpx.Response]:
    """Call a model as an agent of a user's does in its turn."""
    alice = client_for("alice@example.com")
    user_id = UUID(alice.get("/api/v1/me").json()["id"])
    path = f"/api/v1/agents/{user_id}/proxy/{secret_of(Claim(user_id, 1))}/chat/completions"
    return partial(alice.post, path, json=_SPEAK, headers={"authorization": ""})


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/llm/v1/chat/completions", _SPEAK),
        ("GET", "/api/v1/llm/v1/models", None),
        ("GET", "/api/v1/letta/v1/agents/", None),
        ("POST", "/api/v1/letta/v1/agents/agent-1/messages", {"messages": []}),
        ("GET", "/api/v1/agents", None),
        ("GET", "/api/v1/me", None),
        ("POST", "/api/v1/llm/keys", {"name": "cron", "scopes": ["llm"]}),
    ],
)
def test_refuses_users_while_memory_is_short(
    client_for: SignIn, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = client_for("alice@example.com").request(method, path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (503, "gateway_overloaded")
    assert (answer.headers["retry-after"], answer.json()["retryable"]) == ("5", True)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/none", "/api/v1/agents"])
def test_takes_no_bodies_of_strangers_while_memory_is_short(gateway: str, path: str) -> None:
    answer = httpx.post(f"{gateway}{path}", content=b"x" * 1000)

    assert (answer.status_code, answer.json()["code"]) == (503, "gateway_overloaded")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "path", ["/api/v1/system/health", "/api/v1/system/info", "/metrics", "/admin/login/"]
)
def test_answers_balancers_and_scrapers_while_memory_is_short(gateway: str, path: str) -> None:
    assert httpx.get(f"{gateway}{path}").status_code == 200


def test_answers_what_staff_read_and_nothing_else_while_memory_is_short(
    staff: httpx.Client, short: None
) -> None:
    del short
    for path in ("/admin/", "/admin/accounts/user/", "/api/v1/system/upstreams"):
        assert staff.get(path).status_code == 200, path
    change = staff.post("/api/v1/system/upstreams/litellm/breaker", json={"action": "trip"})
    assert change.status_code == 503


def test_lets_agents_finish_their_turns_while_memory_is_short(
    agent_calls: Callable[[], httpx.Response], short: None
) -> None:
    del short
    assert agent_calls().status_code == 200


@pytest.mark.usefixtures("short")
def test_stays_ready_for_a_minute(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ready() -> tuple[int, dict[str, Any]]:
        views.readiness.forget()
        answer = httpx.get(f"{gateway}/api/v1/system/ready")
        return answer.status_code, answer.json()["checks"][0]

    status, check = ready()
    assert (status, check["name"], check["status"]) == (200, "memory", "degraded")
    began = MEMORY._since
    monkeypatch.setattr(MEMORY, "_clock", lambda: began + 61)
    status, check = ready()
    assert (status, check["name"], check["status"]) == (503, "memory", "failed")


def test_serves_again_when_memory_is_enough(client_for: SignIn, short: None) -> None:
    del short
    alice = client_for("alice@example.com")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MEMORY, "_usages", list)
        wait_until(lambda: not MEMORY.is_short)
        assert alice.get("/api/v1/me").status_code == 200
