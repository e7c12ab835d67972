"""After real use, no page of the admin shows a secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import User
from gateway_core.audit import trail
from gateway_core.audit.shipper import ship
from llm_proxy.models import VirtualKey
from tests.conftest import Running

_ARE_IN_USE = ("User", "AuditEvent", "VirtualKey", "LettaAccount", "OwnedResource")


def _use_everything(client: httpx.Client) -> None:
    chat = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "hello"}]}
    client.post("/api/v1/llm/chat/completions", json=chat).raise_for_status()
    agent = {
        "model": "openai-proxy/stub-chat",
        "embedding": "openai/text-embedding-3-small",
        "memory_blocks": [{"label": "human", "value": "likes short answers"}],
    }
    client.post("/api/v1/letta/agents", json=agent).raise_for_status()
    spool = trail.start()
    spool.hand_over()
    assert ship(spool) >= 2


def _secrets(client: httpx.Client, litellm: Running) -> set[str]:
    sent = [request["headers"].get("authorization", "") for request in litellm.requests()]
    key = VirtualKey.objects.get()
    return {
        settings.SECRET_KEY,
        settings.LITELLM_MASTER_KEY,
        settings.LETTA_API_KEY,
        settings.SUPABASE_SERVICE_KEY,
        settings.DATABASES["default"]["PASSWORD"],
        *settings.ENCRYPTION_KEYS,
        *(one.removeprefix("Bearer ") for one in sent if one),
        client.headers["authorization"].removeprefix("Bearer "),
        key.encrypted_value,
        User.objects.get(username="root").password,
    }


def _pages(model: type[Model]) -> list[str]:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    rows = model._default_manager.all()[:20]
    return [
        reverse(f"{name}_changelist"),
        *(reverse(f"{name}_change", args=[row.pk]) for row in rows),
        *(reverse(f"{name}_history", args=[row.pk]) for row in rows),
    ]


@pytest.mark.usefixtures("gateway")
def test_shows_no_secret_after_everything_was_used(
    client: Client,
    client_for: Callable[[str], httpx.Client],
    litellm: Running,
) -> None:
    alice = client_for("alice@example.com")
    _use_everything(alice)
    client.force_login(User.objects.create_superuser("root", "right-password"))
    secrets = _secrets(alice, litellm)
    assert len(secrets) >= 10
    opened: dict[str, int] = {}

    for model in admin.site._registry:
        for page in _pages(model):
            response: Any = client.get(page)
            assert response.status_code == 200, page
            shown = [secret for secret in secrets if secret and secret in response.content.decode()]
            assert not shown, page
            opened[model.__name__] = opened.get(model.__name__, 0) + 1

    assert all(opened[name] > 1 for name in _ARE_IN_USE), opened
