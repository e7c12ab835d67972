"""Jobs wait, are worked on and end as rows; whoever works on one holds its lease."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.db import models, transaction
from django.db.models import Q

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta
    from uuid import UUID

    from django.db.models import QuerySet


class JobManager(models.Manager["Job"]):
    """Finds jobs that are to be done."""

    def due(self, kinds: Collection[str], now: datetime) -> QuerySet[Job]:
        """Return the jobs that nobody works on and whose time has come, the oldest first.

        Jobs of a process that died are among them once their lease is over.
        """
        unfinished = Q(state__in=(Job.State.WAITING, Job.State.WORKING))
        is_free = Q(lease_until=None) | Q(lease_until__lt=now)
        return self.filter(unfinished & is_free, kind__in=kinds, not_before__lte=now).order_by(
            "not_before", "id"
        )

    def claim(
        self, kinds: Collection[str], now: datetime, lease: timedelta, *, only: UUID | None = None
    ) -> Job | None:
        """Take the lease of the next job that is due; None when there is none.

        Args:
            only: the one job that is wanted.
        """
        with transaction.atomic():
            due = self.due(kinds, now)
            if only is not None:
                due = due.filter(pk=only)
            job = due.select_for_update(skip_locked=True).first()
            if job is None:
                return None
            job.state = Job.State.WORKING
            job.lease = uuid.uuid4()
            job.lease_until = now + lease
            job.attempts += 1
            job.started_at = job.started_at or now
            job.save()
        return job


class Job(models.Model):
    """One piece of work.

    No foreign key: a job may be what deletes the user that it is about.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        WORKING = "working"
        PAUSED = "paused"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=64)
    subject = models.CharField(
        max_length=128, blank=True, default="", help_text="What it is about, like a user's id."
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    wish = models.JSONField(default=dict, help_text="What was asked for. Holds no secrets.")
    result = models.JSONField(default=dict, help_text="What has come of it so far.")
    done = models.PositiveIntegerField(default=0, help_text="Of the total.")
    total = models.PositiveIntegerField(default=0, help_text="0: not known yet.")
    error = models.TextField(blank=True, default="", help_text="Why the last attempt ended.")
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField()
    lease = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[JobManager] = JobManager()

    class Meta:
        ordering = ("-created_at", "id")
        indexes = (
            models.Index(
                fields=("not_before", "id"),
                condition=Q(state__in=("waiting", "working")),
                name="jobs_unfinished",
            ),
            models.Index(fields=("kind", "subject", "-created_at"), name="jobs_subject"),
            models.Index(fields=("-created_at", "id"), name="jobs_created"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} ({self.state})"
