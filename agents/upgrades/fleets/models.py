"""What became of each agent of a fleet."""

from __future__ import annotations

from typing import Final

from django.db import models


class Result(models.TextChoices):
    """How far an agent of a fleet is."""

    WAITING = "waiting"
    WORKING = "working"
    PLANNED = "planned"
    MIGRATED = "migrated"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    FAILED = "failed"


UNDONE: Final = (Result.WAITING, Result.WORKING)


class FleetAgent(models.Model):
    """One agent in one fleet migration: a line of the report."""

    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField()
    row = models.ForeignKey("agents.Agent", null=True, on_delete=models.SET_NULL, related_name="+")
    agent_id = models.CharField("id in Letta", max_length=128)
    owner_id = models.UUIDField()
    from_version = models.CharField(max_length=128)
    result = models.CharField(max_length=16, choices=Result.choices, default=Result.WAITING)
    detail = models.TextField(blank=True, default="")
    plan = models.JSONField(default=list, blank=True, help_text="The steps, without values.")
    conflicts = models.JSONField(default=list, blank=True)
    migration = models.ForeignKey(
        "agents.Migration", null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = "agent of a fleet migration"
        verbose_name_plural = "agents of fleet migrations"
        ordering = ("job", "position")
        constraints = (
            models.UniqueConstraint(fields=("job", "position"), name="fleet_position"),
            models.CheckConstraint(
                condition=models.Q(result__in=Result.values), name="fleet_result_known"
            ),
        )
        indexes = (
            models.Index(fields=("job", "result", "position"), name="fleet_result"),
            # The next one is found at once, however many there are.
            models.Index(
                fields=("job", "position"),
                name="fleet_undone",
                condition=models.Q(result__in=UNDONE),
            ),
        )

    def __str__(self) -> str:
        return f"{self.agent_id} ({self.result})"
