"""What the API of upgrades takes and answers."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from agents.serializers import AgentSerializer
from agents.upgrades.merging import Choice, Strategy
from agents.upgrades.models import Migration
from agents.upgrades.plan import Op, difference
from agents.upgrades.proposing import Wish
from agents.upgrades.states import State
from gateway_core.intake import StrictSerializer
from templates_app.services import LATEST

_CHOICES = [choice.value for choice in Choice]


class StrategySerializer(StrictSerializer):
    """What becomes of conflicts."""

    strategy = serializers.ChoiceField(
        _CHOICES, required=False, help_text="For each conflict that `strategies` does not name."
    )
    strategies = serializers.DictField(
        child=serializers.ChoiceField(_CHOICES),
        required=False,
        help_text="By the conflict's pointer.",
    )


class UpgradeSerializer(StrategySerializer):
    """The version that an agent is to go to."""

    target_version = serializers.CharField(
        required=False, max_length=128, help_text="Left out: the latest."
    )
    use_latest = serializers.BooleanField(required=False)
    variables = serializers.DictField(
        required=False, help_text="In place of those that the agent has."
    )
    force = serializers.BooleanField(
        default=False, help_text="Also to a version that is not higher."
    )
    plan_hash = serializers.CharField(
        required=False, max_length=128, help_text="Of a dry run: do that plan or none."
    )
    dry_run = serializers.BooleanField(default=True, help_text="Only say what would be done.")
    allow_minor_auto = serializers.BooleanField(required=False, help_text="For older clients.")
    use_queue = serializers.BooleanField(
        required=False, help_text="For older clients; it is done at once."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take one of the two.

        Raises:
            ValidationError: both are there.
        """
        if attrs.get("target_version") and attrs.get("use_latest"):
            raise serializers.ValidationError({"use_latest": "goes without a target_version."})
        return attrs


class RollbackSerializer(StrategySerializer):
    """How an upgrade is undone; without a strategy, as it was before."""


class PlanLineSerializer(serializers.Serializer[Any]):
    """One step."""

    op = serializers.ChoiceField([op.value for op in Op])
    pointer = serializers.CharField()


class DifferenceSerializer(serializers.Serializer[Any]):
    """One value that changes; null: it is not there."""

    pointer = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()


class WaySerializer(serializers.Serializer[Any]):
    """Versions between which the steps of an Agent File were taken."""

    to = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        """Add what can't be a name in a class."""
        return {"from": serializers.CharField(), **super().get_fields()}


class ConflictSerializer(serializers.Serializer[Any]):
    """Something that template and agent have both changed."""

    pointer = serializers.CharField()
    message = serializers.CharField()


class MigrationSerializer(serializers.ModelSerializer[Migration]):
    """What an agent went through."""

    plan = PlanLineSerializer(many=True, read_only=True)
    warnings = serializers.ListField(child=serializers.CharField(), read_only=True)
    strategy = serializers.DictField(read_only=True)
    reverts = serializers.UUIDField(source="reverts_id", read_only=True, allow_null=True)

    class Meta:
        model = Migration
        fields: ClassVar[Any] = (
            *("id", "direction", "state", "template_id", "from_version", "to_version"),
            *("strategy", "plan", "warnings", "steps_done", "error", "reverts"),
            *("created_at", "ended_at"),
        )
        read_only_fields = fields


class MigrationDetailSerializer(MigrationSerializer):
    """What an agent went through, with values."""

    diff = serializers.SerializerMethodField()

    class Meta(MigrationSerializer.Meta):
        fields: ClassVar[Any] = (*MigrationSerializer.Meta.fields, "diff")
        read_only_fields = fields

    def get_diff(self, migration: Migration) -> list[dict[str, Any]]:
        """Return what changed; values of the tools' environment are masked."""
        content = migration.decrypt() if migration.encrypted else {}
        if "after" not in content:  # a remote AMS has not done it
            return []
        before, after = (State.from_json(content[side]) for side in ("before", "after"))
        return [change for step in difference(before, after) for change in step.differences()]


class UpgradedSerializer(serializers.Serializer[Any]):
    """What would be done, or was."""

    dry_run = serializers.BooleanField()
    applied = serializers.BooleanField()
    target_version = serializers.CharField(required=False)
    new_version = serializers.CharField(required=False)
    plan = PlanLineSerializer(many=True)
    diff = DifferenceSerializer(many=True, required=False)
    conflicts = ConflictSerializer(many=True, required=False)
    migrations = WaySerializer(many=True, required=False)
    warnings = serializers.ListField(child=serializers.CharField())
    plan_hash = serializers.CharField(required=False)
    migration = MigrationSerializer(required=False)
    agent = AgentSerializer(required=False)


def strategy_of(wish: dict[str, Any]) -> Strategy:
    """Return what validated values say of conflicts."""
    chosen = wish.get("strategy")
    return Strategy(
        in_all=Choice(chosen) if chosen else None,
        by_pointer={at: Choice(choice) for at, choice in (wish.get("strategies") or {}).items()},
    )


def wish_of(values: dict[str, Any]) -> Wish:
    """Return the wish in validated values."""
    return Wish(
        target_version=values.get("target_version") or LATEST,
        variables=values.get("variables") or {},
        strategy=strategy_of(values),
        is_forced=values["force"],
        plan_hash=values.get("plan_hash") or "",
    )
