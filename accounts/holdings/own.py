"""What this app, Supabase and the ground hold of a user."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db.models import Q
from django.forms.models import model_to_dict

from accounts.holdings.document import Document, json_document, lines_document
from accounts.holdings.holder import Holder, register
from accounts.models import Denial, Plan, User, UserPlan
from accounts.plans.services import limits_for
from accounts.supabase import client
from gateway_core.audit import persons
from gateway_core.jobs.models import Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from gateway_core.audit.models import AuditEvent

_PROFILE: Final = (
    "email",
    "display_name",
    "preferences",
    "is_anonymous_user",
    "is_active",
    "is_staff",
    "username",
)
_DENIAL: Final = ("session_id", "reason", "until", "note", "created_at")
_JOB: Final = ("id", "kind", "state", "result", "error", "created_at", "started_at", "ended_at")
_RENAMED: Final = "events under a pseudonym"


def _summarise_account(user_id: UUID) -> dict[str, Any]:
    return {"plan": _plan_of(user_id)}


def _plan_of(user_id: UUID) -> str | None:
    on_plan = Q(users__user_id=user_id)
    plans = Plan.objects.filter(on_plan | Q(is_default=True)).order_by("is_default")
    return plans.values_list("name", flat=True).first()


def _export_account(user_id: UUID) -> Iterator[Document]:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return
    profile = model_to_dict(user, fields=_PROFILE)
    times = {name: getattr(user, name) for name in ("created_at", "claims_issued_at", "last_login")}
    yield json_document("profile.json", {"id": user.pk, **profile, **times})
    own = UserPlan.objects.filter(pk=user_id).values().first()
    limits = asdict(limits_for(user_id))
    yield json_document(
        "plan.json", {"plan": _plan_of(user_id), "own_limits": own, "limits": limits}
    )
    denials = Denial.objects.filter(user_id=user_id).values(*_DENIAL)
    yield json_document("denials.json", list(denials))
    jobs = Job.objects.filter(subject=str(user_id)).order_by("created_at")
    yield json_document("jobs.json", list(jobs.values(*_JOB)))


def _count_account(user_id: UUID) -> dict[str, int]:
    return {"accounts.User": User.objects.filter(pk=user_id, is_staff=False).count()}


def _erase_account(user_id: UUID) -> dict[str, int]:
    _, by_model = User.objects.filter(pk=user_id, is_staff=False).delete()
    return by_model


def _export_supabase(user_id: UUID) -> Iterator[Document]:
    record = client.user_record(user_id) if client.can_administer() else None
    if record is not None:
        yield json_document("user.json", record)


def _count_supabase(user_id: UUID) -> dict[str, int]:
    if not settings.ERASE_SUPABASE_USERS:
        return {}
    return {"users": int(client.find_user(user_id) is not None)}


def _erase_supabase(user_id: UUID) -> dict[str, int]:
    if not settings.ERASE_SUPABASE_USERS:
        return {}
    return {"users": int(client.delete_user(user_id))}


def _export_audit(user_id: UUID) -> Iterator[Document]:
    events = persons.events_of(user_id)
    yield lines_document("events.jsonl", (_told(event, user_id) for event in events))


def _told(event: AuditEvent, user_id: UUID) -> dict[str, Any]:
    if event.user_id == user_id:
        return model_to_dict(event) | {"at": event.at, "id": event.pk}
    # Who else it was, and how they came to it, is nobody's business but theirs.
    what = model_to_dict(event, fields=("action", "resource", "status"))
    return {"at": event.at, **what, "changes": event.facts.get("changes", [])}


def register_own() -> None:
    """Register them. The audit trail comes first, so that it is the last to be told of erasing."""
    register(
        Holder(
            name="audit",
            export=_export_audit,
            count=lambda user_id: {_RENAMED: persons.count_events(user_id)},
            erase_by_parts=lambda user_id: (
                {_RENAMED: count} for count in persons.rename_by_parts(user_id)
            ),
        )
    )
    register(
        Holder(
            name="account",
            summarise=_summarise_account,
            export=_export_account,
            count=_count_account,
            erase=_erase_account,
        )
    )
    register(
        Holder(
            name="supabase",
            export=_export_supabase,
            count=_count_supabase,
            erase=_erase_supabase,
        )
    )
