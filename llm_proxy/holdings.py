"""What this app, and LiteLLM, hold of a user."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.forms.models import model_to_dict
from django.utils import timezone

from accounts.holdings import Holder, json_document, lines_document
from gateway_core.background import wait_for
from llm_proxy.agent_proxy.models import AgentSecret
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.client import connections
from llm_proxy.client.users import user_with_keys
from llm_proxy.usage.budget import budget_of
from llm_proxy.usage.models import UsageRecord
from llm_proxy.usage.serializers import BudgetSerializer
from llm_proxy.virtual_keys.models import VirtualKey
from llm_proxy.virtual_keys.services import erase_virtual_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from accounts.holdings import Document

_API_KEY: Final = (
    "id",
    "name",
    "hint",
    "scopes",
    "allowed_models",
    "budget",
    "budget_period",
    "expires_at",
    "revoked_at",
    "rotated_at",
    "created_at",
)
_VIRTUAL_KEY: Final = ("id", "kind", "state", "created_at", "updated_at")
# LiteLLM's names, without those of keys themselves and of their hashes.
_LIMITS: Final = (
    *("spend", "max_budget", "budget_duration", "budget_reset_at", "models"),
    *("tpm_limit", "rpm_limit", "max_parallel_requests", "metadata", "created_at", "updated_at"),
)
_LITELLM_USER: Final = ("user_id", "user_email", "user_alias", "user_role", *_LIMITS)
_LITELLM_KEY: Final = ("key_alias", "user_id", "blocked", "expires", *_LIMITS)
_BATCH: Final = 1000


def _summarise(user_id: UUID) -> dict[str, Any]:
    budget = budget_of(user_id, timezone.now())
    keys = ApiKey.objects.filter(user_id=user_id, revoked_at=None).order_by("-created_at", "id")
    return {
        "budget": {**BudgetSerializer(budget).data, "began_at": budget.began_at},
        "api_keys": list(keys.values("id", "name", "hint")),
    }


def _export(user_id: UUID) -> Iterator[Document]:
    virtual_keys = VirtualKey.objects.filter(user_id=user_id).order_by("created_at", "id")
    if virtual_keys.exists():  # or LiteLLM has never heard of them
        yield from _export_litellm(user_id)
    yield json_document("virtual_keys.json", list(virtual_keys.values(*_VIRTUAL_KEY)))
    keys = ApiKey.objects.filter(user_id=user_id).order_by("created_at", "id")
    yield json_document("api_keys.json", list(keys.values(*_API_KEY)))
    secret = AgentSecret.objects.filter(pk=user_id).values("version", "changed_at").first()
    yield json_document("agent_secret.json", secret)
    records = UsageRecord.objects.filter(user_id=user_id).order_by("at").iterator(_BATCH)
    yield lines_document("usage.jsonl", map(_told, records))


def _export_litellm(user_id: UUID) -> Iterator[Document]:
    held = wait_for(partial(user_with_keys, user_id), close=connections.close)
    if held is not None:
        user, keys = held
        yield json_document("user.json", _of(user, _LITELLM_USER))
        yield json_document("keys.json", [_of(key, _LITELLM_KEY) for key in keys])


def _of(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _told(record: UsageRecord) -> dict[str, Any]:
    return model_to_dict(record) | {"id": record.pk}


def _count(user_id: UUID) -> dict[str, int]:
    models = (("virtual keys", VirtualKey), ("API keys", ApiKey), ("usage records", UsageRecord))
    return {name: model.objects.filter(user_id=user_id).count() for name, model in models}


def _erase(user_id: UUID) -> dict[str, int]:
    counts = _count(user_id)
    erase_virtual_keys(user_id=user_id)
    ApiKey.objects.filter(user_id=user_id).delete()
    UsageRecord.objects.filter(user_id=user_id).delete()
    return counts


HOLDER: Final = Holder(
    name="litellm", summarise=_summarise, export=_export, count=_count, erase=_erase
)
