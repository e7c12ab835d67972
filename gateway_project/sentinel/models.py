"""What upstreams offer, as it was found when they were last looked at."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class UpstreamOperation(models.Model):
    """One operation in an upstream's own documentation, beside what the gateway knows of it."""

    class State(models.TextChoices):
        KNOWN = "known", "known"
        NEW = "new", "unclassified, therefore denied"
        CHANGED = "changed", "changed since it was classified"
        GONE = "gone", "no longer documented"

    upstream = models.CharField(max_length=16)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=255)
    state = models.CharField(max_length=8, choices=State.choices)
    first_seen = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[UpstreamOperation]] = models.Manager()

    class Meta:
        ordering = ("upstream", "path", "method")
        constraints = (
            models.UniqueConstraint(
                fields=("upstream", "path", "method"), name="roof_upstream_operation_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.upstream}: {self.method} {self.path}"
