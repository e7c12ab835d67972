from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers
from rest_framework.fields import SkipField

from accounts.plans.models import BudgetPeriod
from llm_proxy.usage.report import GROUPINGS

_NO_TIME: Final = "It must be a date like 2026-11-23, or a time like 2026-11-23T10:00:00Z."


class UsageQuerySerializer(serializers.Serializer[Any]):
    """What is asked for."""

    group_by = serializers.CharField(
        default="",
        allow_blank=True,
        help_text="Any of day (of UTC), model, agent and key, with commas between them.",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the fields whose names are words of Python."""
        since = serializers.DateTimeField(
            required=False,
            help_text="Date or time; the beginning of the budget period that `to` ends or is in.",
            error_messages={"invalid": _NO_TIME},
        )
        until = serializers.DateTimeField(
            required=False,
            help_text="Date or time, itself not included; now.",
            error_messages={"invalid": _NO_TIME},
        )
        return {"from": since, "to": until, **super().get_fields()}

    def validate_group_by(self, names: str) -> list[str]:
        """Return the names, each once."""
        chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
        if not set(chosen) <= set(GROUPINGS):
            raise serializers.ValidationError(f"Any of {', '.join(GROUPINGS)}, with commas.")
        return chosen


def _money(help_text: str, **traits: Any) -> serializers.DecimalField:
    return serializers.DecimalField(
        max_digits=20, decimal_places=12, normalize_output=True, help_text=help_text, **traits
    )


class SumsSerializer(serializers.Serializer[Any]):
    """What calls have come to."""

    calls = serializers.IntegerField(help_text="Model calls, those of agents included.")
    open_calls = serializers.IntegerField(help_text="Calls whose cost is not known yet.")
    turns = serializers.IntegerField(help_text="Agent turns; their model calls are among calls.")
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    cost = _money("US dollars, as LiteLLM bills.")


class _KeyIfGroupedBy(serializers.UUIDField):
    """Is left out where there is none; of a field that may be null, DRF would make null."""

    def get_attribute(self, instance: dict[str, Any]) -> Any:
        if self.field_name not in instance:
            raise SkipField
        return super().get_attribute(instance)


class GroupSerializer(SumsSerializer):
    """The same of one group; it has the members of what was grouped by."""

    day = serializers.DateField(required=False)
    model = serializers.CharField(required=False)
    agent_id = serializers.CharField(required=False, help_text="Empty: no agent's.")
    api_key_id = _KeyIfGroupedBy(
        required=False, allow_null=True, help_text="Null: made without an API key."
    )
    api_key_name = serializers.CharField(required=False, help_text="Empty: there is none now.")


class BudgetSerializer(serializers.Serializer[Any]):
    """What is left to spend, by chat and through agents together."""

    limit = _money("US dollars in each period; null: no limit.", allow_null=True)
    spent = _money("US dollars in this period.")
    remaining = _money("US dollars; null: no limit.", allow_null=True)
    period = serializers.ChoiceField(BudgetPeriod.choices, allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True, help_text="When spent begins at zero.")
    is_exact = serializers.BooleanField(
        help_text="False: not what LiteLLM counts, but what the recorded calls add up to."
    )


class UsageSerializer(serializers.Serializer[Any]):
    """A user's usage."""

    totals = SumsSerializer()
    groups = GroupSerializer(many=True)
    budget = BudgetSerializer()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the fields whose names are words of Python."""
        times = {"from": serializers.DateTimeField(), "to": serializers.DateTimeField()}
        return {**times, **super().get_fields()}
