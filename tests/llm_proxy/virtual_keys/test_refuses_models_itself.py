"""Which models a user may call is checked here, whatever LiteLLM was told and still believes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from accounts.models import Plan
from accounts.plans.services import save_plan
from llm_proxy.models import VirtualKey
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks

CHAT = "/api/v1/llm/chat/completions"
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    return client_for("alice@example.com")


def allow(*models: str) -> None:
    plan = Plan.objects.get()
    plan.allowed_models = list(models)
    save_plan(plan=plan, by=None)


def ask(client: httpx.Client, model: str) -> httpx.Response:
    return client.post(CHAT, json={"model": model, "messages": HI})


def test_allows_every_model_where_the_plan_names_none(alice: httpx.Client) -> None:
    assert ask(alice, "sandbox-chat").status_code == 200


def test_refuses_a_model_from_the_very_next_call(
    alice: httpx.Client, books: LiteLLMBooks, litellm: Running
) -> None:
    assert ask(alice, "gpt-4o-mini").status_code == 200
    allow("sandbox-*")
    key = VirtualKey.objects.get()
    # As a worker of LiteLLM's that has not heard of it.
    assert ask(alice, "sandbox-chat").status_code == 200
    books.post("/key/update", {"key": key.token_hash, "models": []})
    before = len(litellm.requests("completions$"))
    refused = ask(alice, "gpt-4o-mini")
    assert (refused.status_code, refused.json()["code"]) == (403, "policy_model_not_allowed")
    assert refused.json()["error"]["param"] == "model"
    assert len(litellm.requests("completions$")) == before
    allow()
    assert ask(alice, "gpt-4o-mini").status_code == 200


def test_refuses_a_model_in_a_form(alice: httpx.Client, litellm: Running) -> None:
    allow("sandbox-chat")
    form: dict[str, Any] = {"model": (None, "stt"), "file": ("a.mp3", b"sound")}
    refused = alice.post("/api/v1/llm/audio/transcriptions", files=form)
    assert refused.json()["code"] == "policy_model_not_allowed"
    assert not [
        call for call in litellm.requests("transcriptions$") if b"sound" in str(call).encode()
    ]


def test_lists_only_models_that_are_allowed(alice: httpx.Client) -> None:
    allow("emb", "gpt-*")
    listed = {model["id"] for model in alice.get("/api/v1/llm/models").json()["data"]}
    assert "emb" in listed
    assert not {"sandbox-chat", "tts"} & listed
