"""Exports that are ready, kept for a while."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ExportPart(models.Model):
    """A piece of the ZIP of an export. In the database, where every process finds it."""

    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    objects: ClassVar[models.Manager[ExportPart]] = models.Manager()

    class Meta:
        ordering = ("job", "number")
        constraints = (
            models.UniqueConstraint(fields=("job", "number"), name="accounts_export_part"),
        )

    def __str__(self) -> str:
        return f"part {self.number} of {self.job_id}"
