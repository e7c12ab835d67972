"""Agents think with the models of their user, and with no others."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from accounts.models import User
from accounts.plans.models import Plan, UserPlan
from accounts.plans.services import save_plan, save_user_plan
from gateway_core import cache
from tests.conftest import Running
from tests.letta_proxy.conftest import EMBEDDING, MODEL, Caller

# The server's own: spent on its own key.
BASE = ("letta/letta-free", "openai-proxy/gpt-5-of-the-server", "openai/gpt-4o-mini", "x")


def allow(email: str, *models: str) -> None:
    user = User.objects.get(email=email)
    plan = UserPlan.objects.filter(pk=user.pk).first() or UserPlan(user_id=user.pk)
    plan.allowed_models = list(models)
    save_user_plan(user_plan=plan, by=user)


def handles(caller: Caller) -> set[str]:
    return {model["handle"] for model in caller.get("/models/")}


def test_lists_the_users_own_models_only(alice: Caller) -> None:
    assert MODEL in handles(alice)
    assert all(handle.startswith("openai-proxy/") for handle in handles(alice))
    assert "openai-proxy/emb" not in handles(alice)
    embeddings = [model["handle"] for model in alice.get("/models/embedding")]
    assert "gateway/text-embedding-3-small" in embeddings
    assert all(handle.startswith("gateway/") for handle in embeddings)


def test_lists_what_the_plan_allows_as_soon_as_it_does(alice: Caller) -> None:
    assert {MODEL, "openai-proxy/gpt-4o-mini"} <= handles(alice)

    allow("alice@example.com", "gpt-4o-mini")
    assert handles(alice) == {"openai-proxy/gpt-4o-mini"}
    assert alice.get("/models/embedding") == []

    # Letta itself would not bring it back (measured).
    allow("alice@example.com", "gpt-4o-mini", "stub-chat", "text-embedding-3-small")
    assert handles(alice) == {"openai-proxy/gpt-4o-mini", MODEL}
    (embedding,) = alice.get("/models/embedding")
    assert embedding["handle"] == "gateway/text-embedding-3-small"
    alice.say(alice.create_agent()["id"])


def test_holds_what_an_api_key_gives_to_agents_to_the_keys_models(alice: Caller) -> None:
    agent_id = alice.create_agent()["id"]
    wish = {"name": "cron", "scopes": ["letta"], "models": ["gpt-4o-*", "text-*"]}
    key = alice.client.post("/api/v1/llm/keys", json=wish).raise_for_status().json()
    with httpx.Client(
        base_url=alice.client.base_url, headers={"authorization": f"Bearer {key['secret']}"}
    ) as client:
        program = Caller(client)
        assert handles(program) == {"openai-proxy/gpt-4o-mini"}
        assert program.get("/models/embedding") != []
        refused = [
            program("POST", "/agents/", json={"model": MODEL, "embedding": EMBEDDING}),
            program("PATCH", f"/agents/{agent_id}", json={"model": MODEL}),
            program(
                "POST",
                f"/agents/{agent_id}/messages",
                json={"input": "hi", "override_model": MODEL},
            ),
        ]
        program.create_agent(model="openai-proxy/gpt-4o-mini")
        program.say(agent_id)

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
        (403, "policy_model_not_allowed")
    ] * 3


def test_lists_what_everybodys_plan_allows_as_soon_as_it_does(alice: Caller) -> None:
    assert MODEL in handles(alice)
    plan = Plan.objects.get(is_default=True)
    plan.allowed_models = ["gpt-4o-mini"]

    save_plan(plan=plan, by=User.objects.get(email="alice@example.com"))

    assert alice("POST", "/agents/", json={"model": MODEL}).status_code == 404


def test_offers_nothing_that_only_letta_still_lists(alice: Caller, letta: Running) -> None:
    alice.get("/agents/")
    letta.fault("^/v1/providers/.*/refresh$", status=200, body={})  # so Letta says, done or not

    allow("alice@example.com", "gpt-4o-mini")

    assert handles(alice) == {"openai-proxy/gpt-4o-mini"}
    assert alice("POST", "/agents/", json={"model": MODEL}).status_code == 404


@pytest.mark.parametrize("handle", BASE)
def test_gives_agents_no_model_of_the_servers(alice: Caller, letta: Running, handle: str) -> None:
    agent_id = alice.create_agent()["id"]
    conversation = alice.post(f"/conversations/?agent_id={agent_id}", json={})
    bodies: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", "/agents/", {"model": handle}, "/model"),
        ("PATCH", f"/agents/{agent_id}", {"model": handle}, "/model"),
        (
            "PATCH",
            f"/agents/{agent_id}",
            {"compaction_settings": {"model": handle}},
            "/compaction_settings/model",
        ),
        (
            "POST",
            f"/agents/{agent_id}/messages",
            {"input": "hi", "override_model": handle},
            "/override_model",
        ),
        ("POST", f"/conversations/?agent_id={agent_id}", {"model": handle}, "/model"),
        ("PATCH", f"/conversations/{conversation['id']}", {"model": handle}, "/model"),
        (
            "POST",
            f"/agents/{agent_id}/generate",
            {"prompt": "hi", "override_model": handle},
            "/override_model",
        ),
    ]
    before = len(letta.requests("(agents|conversations)/"))

    for method, path, body, pointer in bodies:
        answer = alice(method, path, json=body)
        assert (path, answer.status_code) == (path, 404)
        assert answer.json()["error"]["param"] == pointer
        assert "/api/v1/letta/models" in answer.json()["detail"]
    assert len(letta.requests("(agents|conversations)/")) == before


@pytest.mark.parametrize("path", ["/agents/", "/folders/", "/archives/"])
def test_embeds_at_the_users_expense_under_either_name(alice: Caller, path: str) -> None:
    for handle in (EMBEDDING, "gateway/text-embedding-3-small"):
        body = {"name": "x", "model": MODEL, "embedding": handle}
        if path != "/agents/":
            del body["model"]
        made = alice.post(path, json=body | {"name": f"x {len(handle)}"})
        assert made["embedding_config"]["handle"] == "gateway/text-embedding-3-small"

    for handle in ("letta/letta-free", "openai-proxy/x"):
        answer = alice("POST", path, json={"name": "x", "embedding": handle})
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "/embedding")


def test_makes_no_agent_that_calls_openai_by_itself(alice: Caller) -> None:
    for kind in ("voice_convo_agent", "voice_sleeptime_agent"):
        answer = alice("POST", "/agents/", json={"model": MODEL, "agent_type": kind})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "/agent_type")


def test_asks_again_for_a_model_that_is_new(
    alice: Caller, letta: Running, litellm: Running
) -> None:
    few = {"data": [{"id": "gpt-4o-mini", "mode": "chat"}]}
    litellm.fault("^/v1/models$", status=200, body=few)
    assert handles(alice) == {"openai-proxy/gpt-4o-mini"}
    litellm.mend()

    alice.create_agent(model=MODEL)
    providers = letta.requests("^/v1/providers/")
    assert "DELETE" not in {request["method"] for request in providers}


def test_asks_once_only_for_a_model_that_is_not_there(alice: Caller, litellm: Running) -> None:
    for _ in range(2):
        assert alice("POST", "/agents/", json={"model": "openai-proxy/no"}).status_code == 404
    before = len(litellm.requests("^/v1/models$"))

    for _ in range(5):
        assert alice("POST", "/agents/", json={"model": "openai-proxy/no"}).status_code == 404

    assert len(litellm.requests("^/v1/models$")) == before


def test_says_that_models_are_away_when_they_are(alice: Caller, litellm: Running) -> None:
    alice.get("/agents/")
    litellm.fault("^/v1/models$", status=503, body={"error": {"type": "no_db_connection"}})

    answer = alice("POST", "/agents/", json={"model": MODEL})

    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unreachable")


def test_knows_the_models_without_asking_each_time(
    alice: Caller, letta: Running, litellm: Running
) -> None:
    agent_id = alice.create_agent()["id"]
    before = len(litellm.requests("models")), len(letta.requests("providers|models"))

    alice.post(f"/agents/{agent_id}/messages", json={"input": "hi", "override_model": MODEL})

    assert (len(litellm.requests("models")), len(letta.requests("providers|models"))) == before


def test_makes_a_provider_again_that_somebody_has_deleted(alice: Caller, letta: Running) -> None:
    alice.get("/models/")
    account = User.objects.get(email="alice@example.com").letta_account
    headers = {
        "authorization": f"Bearer {letta.credentials['LETTA_API_KEY']}",
        "user_id": account.letta_user_id,
    }
    (provider,) = letta.client.get("/v1/providers/", headers=headers).json()
    letta.client.delete(f"/v1/providers/{provider['id']}", headers=headers).raise_for_status()
    cache.clear_all()

    assert MODEL in handles(alice)
