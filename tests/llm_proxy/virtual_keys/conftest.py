from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model

from gateway_core import cache
from llm_proxy.client import connections
from tests.conftest import Running
from tests.llm_proxy.virtual_keys.callers import caller, credential_for


@pytest.fixture
def litellm_alone(
    transactional_db: None, litellm: Running, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """LiteLLM for synchronous tests, each of whose calls has an event loop of its own."""
    del transactional_db, litellm
    monkeypatch.setattr(connections, "upstream", functools.cache(connections.upstream.__wrapped__))
    cache.clear_all()
    yield
    cache.clear_all()


@pytest.fixture
def use_key(litellm_alone: None) -> Callable[..., str]:
    """Pay with a user's key, or with an API key's; return the credential."""
    del litellm_alone

    async def use(user_id: UUID, api_key_id: UUID | None) -> str:
        try:
            return await credential_for(caller(user_id, api_key_id))
        finally:
            await connections.close()

    def use_now(user_id: UUID, api_key_id: UUID | None = None) -> str:
        return asyncio.run(use(user_id, api_key_id))

    return use_now


@pytest.fixture
def alice(litellm_alone: None) -> UUID:
    del litellm_alone
    return UUID(str(get_user_model().objects.create(pk=uuid4(), email="alice@example.com").pk))


@pytest.fixture
def bob(litellm_alone: None) -> UUID:
    del litellm_alone
    return UUID(str(get_user_model().objects.create(pk=uuid4(), email="bob@example.com").pk))
