from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import openai
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model

from gateway_core import cache
from llm_proxy.client import connections
from tests.conftest import Running, RunningSupabase


class LiteLLMBooks:
    """What the stand-in holds, as its administrator sees it."""

    def __init__(self, litellm: Running) -> None:
        self._client = litellm.client
        self._headers = {"authorization": f"Bearer {litellm.credentials['LITELLM_MASTER_KEY']}"}

    def get(self, path: str, **query: Any) -> Any:
        answer = self._client.get(path, params=query, headers=self._headers)
        return answer.raise_for_status().json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(path, json=body, headers=self._headers)
        return answer.raise_for_status().json()

    def keys_of(self, user_id: object) -> list[dict[str, Any]]:
        listing = self.get("/key/list", user_id=user_id, return_full_object="true", size=100)
        return list(listing["keys"])

    def users(self) -> list[str]:
        return [user["user_id"] for user in self.get("/user/list")["users"]]


@pytest.fixture
def books(litellm: Running) -> LiteLLMBooks:
    return LiteLLMBooks(litellm)


@pytest.fixture
async def user_id(
    transactional_db: None, litellm: Running, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[UUID]:
    """A user who has never called a model, and connections to LiteLLM of the test's own loop.

    The gateway that other tests run in a thread of this process keeps its connections.
    """
    del transactional_db, litellm
    monkeypatch.setattr(connections, "upstream", functools.cache(connections.upstream.__wrapped__))
    cache.clear_all()
    user = await database_sync_to_async(get_user_model().objects.create)(pk=uuid4())
    yield user.pk
    await connections.close()


@pytest.fixture
def openai_for(gateway: str, supabase: RunningSupabase) -> Iterator[Callable[..., openai.OpenAI]]:
    """Sign a user in with the official SDK."""
    clients: list[openai.OpenAI] = []

    def sign_in(email: str = "alice@example.com", *, base: str = "/api/v1/llm/v1") -> openai.OpenAI:
        clients.append(
            openai.OpenAI(base_url=f"{gateway}{base}", api_key=supabase.token(email), max_retries=0)
        )
        return clients[-1]

    yield sign_in
    for one in clients:
        one.close()
