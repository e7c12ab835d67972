"""A secret opens the calls of its user's agents, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from accounts.services import suspend_user
from gateway_core.errors import TokenRejected
from llm_proxy.agent_proxy.prover import prove
from llm_proxy.agent_proxy.secrets import Claim, secret_of
from llm_proxy.agent_proxy.services import revoke_agent_secret
from tests.conftest import Running
from tests.llm_proxy.agent_proxy.conftest import Agents, chat
from tests.llm_proxy.conftest import LiteLLMBooks


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["code"])


def test_takes_the_secret_in_the_path_and_as_bearer(alice: Agents) -> None:
    assert alice.call().json()["choices"][0]["message"]["content"] == "stub says: hi"
    assert alice.call_as_bearer().status_code == 200


def test_takes_the_secret_in_the_path_beside_lettas_own_key(
    alice: Agents, litellm: Running
) -> None:
    answer = alice.gateway.post(
        f"{alice.base}/{alice.secret}/embeddings",
        json={"model": "text-embedding-3-small", "input": ["sky"], "encoding_format": "base64"},
        headers={"authorization": "Bearer sk-of-the-letta-server"},
    )

    assert answer.status_code == 200
    (sent,) = litellm.requests("embeddings$")
    assert "sk-of-the-letta-server" not in sent["headers"]["authorization"]


def test_spends_on_the_users_own_key(alice: Agents, bob: Agents, books: LiteLLMBooks) -> None:
    alice.call()

    (key,) = books.keys_of(alice.user_id)
    assert key["spend"] > 0
    assert books.keys_of(bob.user_id) == []


def test_takes_the_newer_secret_where_the_address_has_an_older_one(alice: Agents) -> None:
    revoke_agent_secret(user_id=alice.user_id, by=None)
    newer = secret_of(Claim(alice.user_id, 2))
    path = f"{alice.base}/{alice.secret}/chat/completions"

    assert alice.call().status_code == 401
    answer = alice.gateway.post(path, json=chat(), headers={"authorization": f"Bearer {newer}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("way", [Agents.call, Agents.call_as_bearer])
def test_refuses_another_users_secret(
    way: Callable[[Agents], httpx.Response], alice: Agents, bob: Agents, litellm: Running
) -> None:
    of_bob_with_alices = Agents(bob.gateway, bob.user_id, alice.secret)

    answer = way(of_bob_with_alices)

    assert (answer.status_code, code_of(answer)) == (401, "caller_token_invalid")
    assert litellm.requests("chat") == []


def test_refuses_what_is_no_secret(alice: Agents) -> None:
    assert code_of(alice.gateway.post(f"{alice.base}/chat/completions", json=chat())) == (
        "caller_token_missing"
    )
    for secret in ("gws_", "gws_" + "A" * 70, secret_of(Claim(uuid4(), 1))):
        answer = Agents(alice.gateway, alice.user_id, secret).call()
        assert (answer.status_code, code_of(answer)) == (401, "caller_token_invalid")


def test_refuses_a_users_own_token(
    alice: Agents, client_for: Callable[[str], httpx.Client]
) -> None:
    answer = client_for("alice@example.com").post(f"{alice.base}/chat/completions", json=chat())

    assert (answer.status_code, code_of(answer)) == (401, "caller_token_missing")


def test_believes_no_header_that_names_a_user(
    alice: Agents, bob: Agents, books: LiteLLMBooks
) -> None:
    answer = alice.gateway.post(
        f"{alice.base}/{alice.secret}/chat/completions",
        json=chat(user=str(bob.user_id)),
        headers={"x-user-id": str(bob.user_id), "user_id": str(bob.user_id)},
    )

    assert answer.status_code == 200
    assert books.keys_of(bob.user_id) == []


def test_opens_nothing_else(alice: Agents) -> None:
    headers = {"authorization": f"Bearer {alice.secret}"}
    for path in ("/api/v1/llm/models", "/api/v1/letta/agents/", "/api/v1/me"):
        answer = alice.gateway.get(path, headers=headers)
        assert (path, answer.status_code, code_of(answer)) == (path, 403, "policy_scope_missing")


def test_refuses_the_agents_of_a_suspended_user(alice: Agents) -> None:
    assert alice.call().status_code == 200
    staff = User.objects.create_superuser("staff", "x")
    suspend_user(user_id=alice.user_id, by=staff)

    answer = alice.call()

    assert (answer.status_code, code_of(answer)) == (403, "policy_account_suspended")


def test_refuses_a_revoked_secret_from_the_next_call_on(alice: Agents) -> None:
    assert alice.call().status_code == 200

    assert revoke_agent_secret(user_id=alice.user_id, by=None) == 2

    assert alice.call().status_code == 401
    assert (
        Agents(alice.gateway, alice.user_id, secret_of(Claim(alice.user_id, 2))).call().is_success
    )


def test_refuses_the_secret_of_a_user_who_is_gone(alice: Agents) -> None:
    User.objects.filter(pk=alice.user_id).delete()

    assert alice.call().status_code == 401


def test_asks_the_database_for_no_secret_that_was_made_up(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    del db
    with django_assert_num_queries(0), pytest.raises(TokenRejected):
        prove(b"gws_" + b"A" * 70)


@pytest.mark.parametrize("user_id", ["nobody", "%2e%2e", str(UUID(int=0))])
def test_refuses_a_path_of_somebody_unknown(alice: Agents, user_id: str) -> None:
    path = f"/api/v1/agents/{user_id}/proxy/{alice.secret}/chat/completions"

    assert alice.gateway.post(path, json=chat()).status_code == 401
