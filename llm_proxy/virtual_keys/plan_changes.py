"""Telling LiteLLM of a changed plan: a job, for users who don't call meanwhile.

Whoever calls has LiteLLM told of themselves before the call goes out; see ``grants``. But LiteLLM
begins an idle user's period anew by the terms that it knows: told weeks later that a month has
become a day, it would hold that day to the spending of all those weeks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db.models import Q

from accounts.plans.models import Plan
from gateway_core.background import wait_for
from gateway_core.jobs import services as jobs
from gateway_core.jobs.services import LeaseLost
from llm_proxy.client import connections
from llm_proxy.virtual_keys import standing as standings
from llm_proxy.virtual_keys.making import is_told
from llm_proxy.virtual_keys.models import VirtualKey
from llm_proxy.virtual_keys.sync.apply import apply
from llm_proxy.virtual_keys.sync.plan import Kind, Step
from llm_proxy.virtual_keys.sync.plan import Plan as Steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from gateway_core.jobs.services import Progress
    from llm_proxy.virtual_keys.standing import Standing

KIND: Final = "plan change"
_BATCH: Final = 100
_BEFORE_ALL: Final = UUID(int=0)


def tell_of_plan(plan: Plan) -> None:
    """Ask for LiteLLM to be told of all who are on a plan; one that is asked for already ends."""
    if earlier := jobs.unfinished(KIND, str(plan.pk)):
        jobs.cancel(earlier.pk)
    jobs.ask_for(KIND, subject=str(plan.pk))


def work(progress: Progress) -> None:
    """Tell LiteLLM of the next batch of keys, and give way to other jobs.

    Raises:
        UpstreamUnreachable: LiteLLM is away; a later attempt goes on. Whom none reaches, their next
            call does, or ``sync_keys``.
        LeaseLost: there is another batch.
    """
    job = progress.job
    plan = Plan.objects.filter(pk=job.subject).first()
    keys = _known_keys(plan) if plan else VirtualKey.objects.none()
    if not job.total:
        progress.note(total=keys.count())
    after = job.result.get("after", str(_BEFORE_ALL))
    batch = list(keys.filter(pk__gt=after).order_by("pk")[:_BATCH])
    if not batch:
        return
    failed = _tell(one for one in standings.of_keys(batch) if not is_told(one))
    progress.note(
        done=job.done + len(batch),
        after=str(batch[-1].pk),
        failed=job.result.get("failed", 0) + failed,
    )
    if len(batch) == _BATCH:
        jobs.give_way(job.pk)
        raise LeaseLost


def _known_keys(plan: Plan) -> QuerySet[VirtualKey]:
    """Return the keys of a plan's users that LiteLLM has heard of."""
    on_it = Q(user__user_plan__plan=plan)
    if plan.is_default:
        on_it |= Q(user__user_plan__plan=None)
    known = (VirtualKey.State.ACTIVE, VirtualKey.State.BLOCKED)
    return VirtualKey.objects.filter(on_it, state__in=known)


def _tell(changed: Iterable[Standing]) -> int:
    """Return how many could not be told of; the log says why."""
    steps = [
        Step(
            kind=Kind.CHANGE,
            subject=str(one.key.pk),
            user_id=str(one.key.user_id),
            reason="the plan has changed",
        )
        for one in changed
    ]
    doing = partial(apply, Steps(steps=steps), prune=False, show=lambda *_: None)
    return wait_for(doing, close=connections.close).failed
