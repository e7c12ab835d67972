"""What staff have had left alone."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class BreakerTrip(models.Model):
    """A circuit breaker that staff have tripped and not reset."""

    breaker = models.CharField(max_length=64, primary_key=True)
    reason = models.TextField()

    objects: ClassVar[models.Manager[BreakerTrip]] = models.Manager()

    class Meta:
        ordering = ("breaker",)

    def __str__(self) -> str:
        return f"{self.breaker}: {self.reason}"
