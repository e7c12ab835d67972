"""What this app and the ground hold of a user."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final

import orjson
from django.conf import settings
from django.db.models import Q
from django.forms.models import model_to_dict

from accounts.holdings.holder import Document, Holder, register
from accounts.models import Denial, Plan, User
from accounts.supabase import client
from gateway_core.audit import persons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from gateway_core.audit.models import AuditEvent

# A year of a busy user's is millions: too many to be in memory at once.
_EVENTS_IN_FILE: Final = 10_000
_PROFILE: Final = ("email", "display_name", "preferences", "is_anonymous_user", "is_active")


def _summarise_account(user_id: UUID) -> dict[str, Any]:
    on_plan = Q(users__user_id=user_id)
    plans = Plan.objects.filter(on_plan | Q(is_default=True)).order_by("is_default")
    return {"plan": plans.values_list("name", flat=True).first()}


def _export_account(user_id: UUID) -> Iterator[Document]:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    profile = model_to_dict(user, fields=_PROFILE)
    profile |= {"id": user.pk, "created_at": user.created_at}
    yield Document("profile.json", _json(profile))
    denials = Denial.objects.filter(user_id=user_id).values("reason", "until", "created_at")
    yield Document("denials.json", _json(list(denials)))


def _erase_account(user_id: UUID) -> dict[str, int]:
    _, by_model = User.objects.filter(pk=user_id, is_staff=False).delete()
    return by_model


def _erase_supabase(user_id: UUID) -> dict[str, int]:
    if not settings.ERASE_SUPABASE_USERS:
        return {}
    return {"users": int(client.delete_user(user_id))}


def _export_audit(user_id: UUID) -> Iterator[Document]:
    events = persons.events_of(user_id)
    for number in count(1):
        lines = b"".join(map(_line, islice(events, _EVENTS_IN_FILE)))
        if not lines:
            return
        yield Document(f"events-{number:04}.jsonl", lines)


def _line(event: AuditEvent) -> bytes:
    told = model_to_dict(event) | {"at": event.at, "id": event.pk}
    return orjson.dumps(told, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2)


def register_own() -> None:
    """Register them. The audit trail comes first, so that it is the last to be told of erasing."""
    register(
        Holder(
            name="audit",
            export=_export_audit,
            erase=lambda user_id: {"events under a pseudonym": persons.rename(user_id)},
        )
    )
    register(
        Holder(
            name="account",
            summarise=_summarise_account,
            export=_export_account,
            erase=_erase_account,
        )
    )
    register(Holder(name="supabase", erase=_erase_supabase))
