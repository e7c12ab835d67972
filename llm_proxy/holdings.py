"""What this app, and LiteLLM, hold of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from django.forms.models import model_to_dict
from django.utils import timezone

from accounts.holdings import Document, Holder
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.usage.budget import budget_of
from llm_proxy.usage.models import UsageRecord
from llm_proxy.usage.serializers import BudgetSerializer
from llm_proxy.virtual_keys.models import VirtualKey
from llm_proxy.virtual_keys.services import erase_virtual_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

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
    "created_at",
)
_BATCH: Final = 1000


def _summarise(user_id: UUID) -> dict[str, Any]:
    budget = budget_of(user_id, timezone.now())
    keys = ApiKey.objects.filter(user_id=user_id, revoked_at=None).order_by("-created_at", "id")
    return {
        "budget": {**BudgetSerializer(budget).data, "began_at": budget.began_at},
        "api_keys": list(keys.values("id", "name", "hint")),
    }


def _export(user_id: UUID) -> Iterator[Document]:
    keys = ApiKey.objects.filter(user_id=user_id).order_by("created_at", "id").values(*_API_KEY)
    yield Document("api_keys.json", orjson.dumps(list(keys), default=str))
    lines = bytearray()
    for record in UsageRecord.objects.filter(user_id=user_id).order_by("at").iterator(_BATCH):
        lines += orjson.dumps(
            model_to_dict(record, exclude=["virtual_key_id"]) | {"id": record.pk},
            default=str,
            option=orjson.OPT_APPEND_NEWLINE,
        )
    yield Document("usage.jsonl", bytes(lines))


def _erase(user_id: UUID) -> dict[str, int]:
    keys = VirtualKey.objects.filter(user_id=user_id).count()
    erase_virtual_keys(user_id=user_id)
    return {
        "virtual keys": keys,
        "API keys": ApiKey.objects.filter(user_id=user_id).delete()[0],
        "usage records": UsageRecord.objects.filter(user_id=user_id).delete()[0],
    }


HOLDER: Final = Holder(name="litellm", summarise=_summarise, export=_export, erase=_erase)
