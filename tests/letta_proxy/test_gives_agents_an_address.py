"""Every agent calls its models at the gateway, whatever has changed since it was made."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from accounts.models import User
from gateway_core import cache
from letta_proxy.models import LettaAccount
from llm_proxy.agent_proxy.services import address_for, revoke_agent_secret
from tests.conftest import Running
from tests.letta_proxy.conftest import EMBEDDING, MODEL, Caller


class LettaBooks:
    """What Letta has, as the user who stands for somebody sees it."""

    def __init__(self, letta: Running, email: str) -> None:
        self._client = letta.client
        self._key = letta.credentials["LETTA_API_KEY"]
        self._email = email

    @property
    def account(self) -> LettaAccount:
        return LettaAccount.objects.get(user__email=self._email)

    @property
    def user_id(self) -> UUID:
        user: User = self.account.user
        return user.pk

    def call(self, method: str, path: str, **parts: Any) -> Any:
        headers = {
            "authorization": f"Bearer {self._key}",
            "user_id": self.account.letta_user_id,
        }
        answer = self._client.request(method, path, headers=headers, **parts)
        return answer.raise_for_status().json()

    def endpoints(self, agent_id: str) -> tuple[str, str]:
        agent = self.call("GET", f"/v1/agents/{agent_id}")
        return (
            agent["llm_config"]["model_endpoint"],
            agent["embedding_config"]["embedding_endpoint"],
        )

    def expected(self, agent_id: str) -> tuple[str, str]:
        address = address_for(self.user_id)
        assert address is not None
        return (address.of_agent(agent_id), address.of_agent(agent_id))


@pytest.fixture
def books(letta: Running) -> LettaBooks:
    return LettaBooks(letta, "alice@example.com")


def calls(litellm: Running) -> list[str]:
    return [request["path"] for request in litellm.requests("completions$|embeddings$")]


def test_makes_a_provider_with_the_account(alice: Caller, books: LettaBooks) -> None:
    alice.get("/agents/")

    (provider,) = books.call("GET", "/v1/providers/")
    address = address_for(books.user_id)
    assert address is not None
    assert provider["name"] == "gateway"
    assert (provider["base_url"], provider["api_key_enc"]) == (address.url, address.secret)
    assert provider["last_synced"]


def test_gives_a_new_agent_its_own_address(
    alice: Caller, books: LettaBooks, litellm: Running
) -> None:
    agent_id = alice.create_agent()["id"]

    assert books.endpoints(agent_id) == books.expected(agent_id)
    alice.say(agent_id)
    alice.post(f"/agents/{agent_id}/archival-memory", json={"text": "sky"})
    assert calls(litellm) == ["/v1/chat/completions", "/v1/embeddings"]


@pytest.mark.parametrize(
    "change",
    [{"model": "openai-proxy/gpt-4o-mini"}, {"context_window_limit": 9000}, {"description": "x"}],
)
def test_keeps_the_address_of_an_agent_that_is_changed(
    alice: Caller, books: LettaBooks, change: dict[str, Any]
) -> None:
    agent_id = alice.create_agent()["id"]

    alice("PATCH", f"/agents/{agent_id}", json=change).raise_for_status()

    assert books.endpoints(agent_id) == books.expected(agent_id)


def test_has_agents_compact_with_their_own_model(alice: Caller, books: LettaBooks) -> None:
    own = alice.create_agent()["id"]
    named = alice.create_agent(compaction_settings={"model": "openai-proxy/gpt-4o-mini"})["id"]

    compacting = [
        books.call("GET", f"/v1/agents/{agent_id}")["compaction_settings"]["model"]
        for agent_id in (own, named)
    ]
    assert compacting == [None, "openai-proxy/gpt-4o-mini"]


def test_answers_when_a_new_agent_can_not_be_given_its_own(
    alice: Caller, books: LettaBooks, letta: Running
) -> None:
    alice.get("/models/")
    letta.fault("^/v1/agents/agent-", method="PATCH", status=500)

    agent_id = alice.create_agent()["id"]

    letta.mend()
    address = address_for(books.user_id)
    assert address is not None
    assert books.endpoints(agent_id) == (address.url, address.url)
    alice.say(agent_id)


def make_as_before(books: LettaBooks) -> tuple[str, str]:
    """Leave an account as it was before there were providers; return its agent and folder."""
    (provider,) = books.call("GET", "/v1/providers/")
    books.call("DELETE", f"/v1/providers/{provider['id']}")
    wish = {"name": "old", "model": MODEL, "embedding": EMBEDDING}
    agent_id = books.call("POST", "/v1/agents/", json=wish)["id"]
    folder_id = books.call("POST", "/v1/folders/", json={"name": "old", "embedding": EMBEDDING})[
        "id"
    ]
    LettaAccount.objects.update(address_hash="")
    cache.clear_all()
    return agent_id, folder_id


def test_moves_what_was_there_before_with_the_next_request(
    alice: Caller, books: LettaBooks, litellm: Running
) -> None:
    alice.get("/agents/")
    agent_id, folder_id = make_as_before(books)
    wish = {"name": "unseen", "model": MODEL, "embedding": EMBEDDING, "hidden": True}
    hidden_id = books.call("POST", "/v1/agents/", json=wish)["id"]
    before = books.endpoints(agent_id)

    alice.get("/agents/")

    assert before != books.expected(agent_id)
    assert books.endpoints(agent_id) == books.expected(agent_id)
    assert books.endpoints(hidden_id) == books.expected(hidden_id)
    config = books.call("GET", f"/v1/agents/{agent_id}")["llm_config"]
    assert (config["provider_name"], config["provider_category"]) == ("gateway", "byok")
    folder = books.call("GET", f"/v1/folders/{folder_id}")
    address = address_for(books.user_id)
    assert address is not None
    assert folder["embedding_config"]["embedding_endpoint"] == address.url
    books.call("POST", f"/v1/agents/{agent_id}/messages", json={"input": "hi"})
    assert calls(litellm) == ["/v1/chat/completions"]


def test_goes_on_where_a_failed_move_stopped(
    alice: Caller, books: LettaBooks, letta: Running
) -> None:
    alice.get("/agents/")
    agent_id, _ = make_as_before(books)
    letta.fault("^/v1/agents/agent-", method="PATCH", status=500, times=1)

    assert alice("GET", "/agents/").status_code == 502
    assert alice("GET", "/agents/").status_code == 200

    assert books.endpoints(agent_id) == books.expected(agent_id)


def test_follows_a_secret_that_was_replaced(
    alice: Caller, books: LettaBooks, litellm: Running
) -> None:
    agent_id = alice.create_agent()["id"]
    old = books.expected(agent_id)

    revoke_agent_secret(user_id=books.user_id, by=None)
    alice.say(agent_id)

    assert books.expected(agent_id) != old
    assert books.endpoints(agent_id) == books.expected(agent_id)
    assert calls(litellm) == ["/v1/chat/completions"]


def test_follows_a_newer_master_key(alice: Caller, books: LettaBooks, settings: Settings) -> None:
    agent_id = alice.create_agent()["id"]
    settings.AGENT_SECRET_MASTER_KEYS = ("33" * 32, *settings.AGENT_SECRET_MASTER_KEYS)

    alice.say(agent_id)  # the old one is still good
    call_command("sync_providers", stdout=StringIO())
    settings.AGENT_SECRET_MASTER_KEYS = settings.AGENT_SECRET_MASTER_KEYS[:1]
    cache.clear_all()

    assert books.endpoints(agent_id) == books.expected(agent_id)
    alice.say(agent_id)


def test_has_no_provider_where_letta_can_not_reach_the_gateway(
    alice: Caller, books: LettaBooks, settings: Settings
) -> None:
    settings.GATEWAY_INTERNAL_URL = ""
    agent_id = alice.create_agent()["id"]

    assert books.call("GET", "/v1/providers/") == []
    alice.say(agent_id)
    with pytest.raises(CommandError, match="GATEWAY_INTERNAL_URL"):
        call_command("sync_providers")


def test_takes_no_address_away(alice: Caller, books: LettaBooks, settings: Settings) -> None:
    agent_id = alice.create_agent()["id"]
    before = books.endpoints(agent_id)
    settings.GATEWAY_INTERNAL_URL = ""
    cache.clear_all()

    alice.get("/agents/")

    assert books.endpoints(agent_id) == before


# -- the command


def sync(*options: str) -> str:
    told = StringIO()
    call_command("sync_providers", *options, stdout=told)
    return told.getvalue().strip()


def test_command_counts_and_moves(
    alice: Caller, books: LettaBooks, client_for: Callable[[str], httpx.Client]
) -> None:
    alice.get("/agents/")
    client_for("bob@example.com").get("/api/v1/letta/agents/").raise_for_status()
    agent_id, _ = make_as_before(books)
    books.account.save()
    LettaAccount.objects.exclude(pk=books.user_id).update(address_hash="other")
    before = books.endpoints(agent_id)

    assert sync("--dry-run") == (
        "to do: 2 of 2 accounts, 1 agents, 1 folders; 0 archives keep their address"
    )
    assert books.endpoints(agent_id) == before

    assert sync() == "done: 2 of 2 accounts"
    assert books.endpoints(agent_id) == books.expected(agent_id)
    assert sync() == "done: 0 of 2 accounts"
    assert sync("--all") == "done: 2 of 2 accounts"


def test_command_goes_on_after_a_failure(alice: Caller, books: LettaBooks, letta: Running) -> None:
    alice.get("/agents/")
    make_as_before(books)
    letta.fault("^/v1/providers/", status=500, times=1)

    with pytest.raises(CommandError, match="1 accounts failed"):
        sync()

    assert sync() == "done: 1 of 1 accounts"


def test_command_tells_of_archives_that_stay_where_they_were(
    alice: Caller, books: LettaBooks
) -> None:
    alice.post("/archives/", json={"name": "a", "embedding": EMBEDDING})
    revoke_agent_secret(user_id=books.user_id, by=None)

    assert sync("--dry-run").endswith("1 archives keep their address")
