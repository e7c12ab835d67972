"""What the API of fleets takes and answers."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from agents.upgrades.fleets.models import FleetAgent, Result
from agents.upgrades.fleets.services import FleetWish
from agents.upgrades.merging import Choice
from agents.upgrades.serializers import ConflictSerializer, PlanLineSerializer
from gateway_core.intake import StrictSerializer
from gateway_core.jobs.models import Job


class FleetFilterSerializer(StrictSerializer):
    """Which agents of the template; all without it."""

    versions = serializers.ListField(child=serializers.CharField(max_length=128), required=False)
    user_ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=1000)
    agent_ids = serializers.ListField(
        child=serializers.CharField(max_length=128), required=False, max_length=1000
    )
    tag = serializers.CharField(required=False, max_length=100)


class FleetSerializer(StrictSerializer):
    """The version that agents of a template are to go to."""

    target_version = serializers.CharField(default="latest", max_length=128)
    filter = FleetFilterSerializer(required=False)
    strategy = serializers.ChoiceField(
        [choice.value for choice in Choice],
        required=False,
        help_text="For conflicts; without it such agents are left alone and listed.",
    )
    dry_run = serializers.BooleanField(default=True)
    canary = serializers.FloatField(
        default=0,
        min_value=0,
        help_text="Below 1 a share, else a number of agents that go first; then it pauses.",
    )
    batch_size = serializers.IntegerField(
        default=50,
        min_value=1,
        max_value=10_000,
        help_text="Agents that are migrated before other jobs have their turn.",
    )
    max_error_rate = serializers.FloatField(
        default=0.1,
        min_value=0,
        max_value=1,
        help_text="It pauses when more agents of a batch fail, or of a canary below a batch.",
    )


class FleetJobSerializer(serializers.ModelSerializer[Job]):
    """How far the migration of a fleet is."""

    template_id = serializers.UUIDField(source="subject", read_only=True)
    target_version = serializers.CharField(source="wish.target_version", read_only=True)
    dry_run = serializers.BooleanField(source="wish.dry_run", read_only=True)
    canary = serializers.IntegerField(source="wish.canary", read_only=True)
    batch_size = serializers.IntegerField(source="wish.batch_size", read_only=True)
    max_error_rate = serializers.FloatField(source="wish.max_error_rate", read_only=True)
    stopped = serializers.SerializerMethodField(
        help_text="Why it has paused by itself: canary, error rate, or empty."
    )
    counts = serializers.SerializerMethodField(help_text="Agents by result.")

    class Meta:
        model = Job
        fields: ClassVar[Any] = (
            *("id", "template_id", "target_version", "state", "dry_run", "canary"),
            *("batch_size", "max_error_rate", "total", "done", "counts", "stopped", "error"),
            *("created_at", "started_at", "ended_at"),
        )
        read_only_fields = fields

    def get_stopped(self, job: Job) -> str:
        """Return why it rests."""
        return str(job.result.get("stopped", ""))

    def get_counts(self, job: Job) -> dict[str, int]:
        """Return how many agents have which result."""
        return dict(job.result.get("counts") or {Result.WAITING.value: job.total})


class FleetAgentSerializer(serializers.ModelSerializer[FleetAgent]):
    """What became of one agent."""

    plan = PlanLineSerializer(many=True, read_only=True)
    conflicts = ConflictSerializer(many=True, read_only=True)
    migration = serializers.UUIDField(source="migration_id", read_only=True, allow_null=True)

    class Meta:
        model = FleetAgent
        fields: ClassVar[Any] = (
            *("agent_id", "owner_id", "from_version", "result", "detail"),
            *("plan", "conflicts", "migration"),
        )
        read_only_fields = fields


class ReportFilterSerializer(serializers.Serializer[Any]):
    """Which agents a report is asked for."""

    result = serializers.ChoiceField(choices=Result.choices, required=False)


def fleet_wish_of(values: dict[str, Any]) -> FleetWish:
    """Return the wish in validated values."""
    chosen = {
        name: [str(item) for item in value] if isinstance(value, list) else value
        for name, value in (values.get("filter") or {}).items()
    }
    strategy = values.get("strategy")
    return FleetWish(
        target_version=values["target_version"],
        filter=chosen,
        strategy=Choice(strategy) if strategy else None,
        is_dry_run=values["dry_run"],
        canary=values["canary"],
        batch_size=values["batch_size"],
        max_error_rate=values["max_error_rate"],
    )
