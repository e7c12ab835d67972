"""Erasing a user: shut out at once, then erased store by store, with a receipt for each.

The job goes on after any failure where it stopped. What stays is the audit trail under a pseudonym,
and the denial until the last token is over: a token that is still good would make another user.
Events that come to the trail later, out of a spool, are put under the pseudonym later.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.holdings.holder import holders
from accounts.models import User
from accounts.sessions.models import DenialReason
from accounts.sessions.services import deny_user, last_token_ends
from accounts.supabase import client
from gateway_core.audit.persons import pseudonym_of, rename_by_parts
from gateway_core.audit.services import record_change
from gateway_core.errors import PolicyError, ResourceNotFound
from gateway_core.jobs import services as jobs
from gateway_core.jobs.models import Job

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway_core.jobs.services import Progress

KIND: Final = "erasure"
LATE_KIND: Final = "erasure of late events"
# By then the events of a request that has ended are in the trail, unless a process was away.
_LATE: Final = timedelta(minutes=10)
_RECEIPTS: Final = "receipts"


def erase_user(*, user_id: UUID, by: User | None) -> Job:
    """Shut a user out, and have all that is held of them erased.

    Asking again returns the job that is under way, and lets one that has failed go on.

    Args:
        by: the user, or staff; None for the gateway itself.

    Raises:
        GatewayError: as ``require_erasable`` says.
    """
    require_erasable(user_id)
    with transaction.atomic():
        deny_user(user_id=user_id, by=by, reason=DenialReason.ERASED, until=last_token_ends())
        job = _last(user_id)
        if job is None:
            record_change(actor=by, action="user.erase", resource=f"user:{user_id}")
            return jobs.ask_for(KIND, subject=str(user_id))
    if job.state == Job.State.FAILED:
        jobs.resume(job.pk)
        job.refresh_from_db()
    return job


def require_erasable(user_id: UUID) -> None:
    """Refuse to erase whom there is not, and whom there has to be.

    Raises:
        PolicyError: they are staff.
        ResourceNotFound: neither the gateway nor Supabase knows them.
        UpstreamError: Supabase does not say.
    """
    is_staff = User.objects.filter(pk=user_id).values_list("is_staff", flat=True).first()
    if is_staff:
        raise PolicyError("Staff are not erased here. Take their access to the admin away first.")
    if is_staff is None and _last(user_id) is None and not _is_at_supabase(user_id):
        raise ResourceNotFound("Nobody has that id, neither here nor at Supabase.")


def left_to_erase(user_id: UUID) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yield all stores in the order in which they are erased, each with how many of what it has.

    Raises:
        UpstreamError: one of them does not say.
    """
    return ((holder.name, holder.count(user_id)) for holder in holders())


@dataclass(frozen=True, slots=True)
class StoreErasure:
    """What an erasure has come to in one store.

    Attributes:
        erased: how many of what; None until it is done.
        at: ISO 8601, None as long.
    """

    name: str
    erased: Mapping[str, int] | None = None
    at: str | None = None


def stores_of(job: Job) -> list[StoreErasure]:
    """Return the stores of an erasure, in its order."""
    receipts = job.result.get(_RECEIPTS, {})
    done = [StoreErasure(name, one["erased"], one["at"]) for name, one in receipts.items()]
    left = [] if job.state == Job.State.DONE else [holder.name for holder in holders()]
    return [*done, *(StoreErasure(name) for name in left if name not in receipts)]


def find_erasure(job_id: UUID) -> Job:
    """Return an erasure, for whoever knows its id.

    Raises:
        ResourceNotFound: there is none, or it was thrown away.
    """
    job = Job.objects.filter(pk=job_id, kind=KIND).first()
    if job is None:
        raise ResourceNotFound
    return job


def work(progress: Progress) -> None:
    """Go through the stores that are left; the job's result has the receipts."""
    user_id = UUID(progress.job.subject)
    receipts: dict[str, Any] = dict(progress.job.result.get(_RECEIPTS, {}))
    everybody = holders()
    progress.note(done=len(receipts), total=len(everybody))
    for holder in everybody:
        if holder.name in receipts:
            continue
        progress.note(store=holder.name)
        erased: Counter[str] = Counter()
        for counts in holder.erasing(user_id):
            for what, count in counts.items():
                erased[what] += count
            progress.note()
        receipts[holder.name] = {"erased": erased, "at": timezone.now().isoformat()}
        progress.note(done=len(receipts), receipts=receipts)
    _conclude(user_id, receipts)


def work_late(progress: Progress) -> None:
    """Put the pseudonym into what has come to the trail since a user was erased from it."""
    user_id = UUID(progress.job.subject)
    for _ in rename_by_parts(user_id):
        progress.note()
    Job.objects.filter(pk=progress.job.pk).update(subject=str(pseudonym_of(user_id)))


def _conclude(user_id: UUID, receipts: Mapping[str, Any]) -> None:
    pseudonym = str(pseudonym_of(user_id))
    resource, facts = f"user:{pseudonym}", {_RECEIPTS: receipts}
    with transaction.atomic():
        record_change(actor=None, action="user.erased", resource=resource, facts=facts)
        Job.objects.filter(subject=str(user_id)).update(subject=pseudonym)
        # Of this request itself, of those that were under way, and of the last tokens.
        for at in (timezone.now(), last_token_ends()):
            jobs.ask_for(LATE_KIND, subject=str(user_id), not_before=at + _LATE)


def _is_at_supabase(user_id: UUID) -> bool:
    return client.can_administer() and client.find_user(user_id) is not None


def _last(user_id: UUID) -> Job | None:
    of_user = Job.objects.filter(kind=KIND, subject=str(user_id))
    return of_user.exclude(state__in=(Job.State.DONE, Job.State.CANCELLED)).first()
