from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from django.utils import timezone
from rest_framework import serializers

from accounts.plans.models import BudgetPeriod
from gateway_core.intake import StrictSerializer
from llm_proxy.api_keys.models import SMALLEST_BUDGET, ApiKey, Scope, State
from llm_proxy.api_keys.services import DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS

_MOST_MODELS: Final = 200
_MODEL: Final = re.compile(r"\A[\w.:@+*-]+(?:[ /][\w.:@+*-]+)*\Z", re.ASCII)
_MOST_STARS: Final = 2


class ApiKeySerializer(StrictSerializer, serializers.ModelSerializer[ApiKey]):
    """An API key as its owner sees it: all but the secret."""

    scopes = serializers.ListField(
        child=serializers.ChoiceField(Scope.choices),
        default=lambda: [Scope.LLM.value],
        allow_empty=False,
        help_text="What the key opens; `llm` when it is not said.",
    )
    models = serializers.ListField(
        source="allowed_models",
        child=serializers.RegexField(_MODEL, max_length=256),
        default=list,
        max_length=_MOST_MODELS,
        help_text="Names and patterns such as `openai/*`; none: all that the plan has. For model "
        "calls, and for what is given to agents with this key; what an agent has it keeps.",
    )
    budget = serializers.DecimalField(
        max_digits=12,
        decimal_places=4,
        min_value=SMALLEST_BUDGET,
        normalize_output=True,
        allow_null=True,
        default=None,
        help_text="US dollars in each period for model calls with this key. The account's own "
        "budget counts as well. Agents spend on that one only: a key without the scope `llm` "
        "can't have a budget.",
    )
    budget_period = serializers.ChoiceField(BudgetPeriod.choices, default=BudgetPeriod.MONTH)
    expires_at = serializers.DateTimeField(
        allow_null=True, default=None, help_text="Null: never. What has expired can't be prolonged."
    )
    state = serializers.SerializerMethodField()
    last_used_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="The last model call or agent turn."
    )

    class Meta:
        model = ApiKey
        fields: ClassVar[Any] = (
            *("id", "name", "hint", "state", "scopes", "models", "budget", "budget_period"),
            *("expires_at", "previous_valid_until", "created_at", "rotated_at", "revoked_at"),
            "last_used_at",
        )
        read_only_fields = (
            *("id", "hint", "previous_valid_until", "created_at", "rotated_at", "revoked_at"),
        )
        extra_kwargs: ClassVar[Any] = {
            "hint": {"help_text": "The beginning of the secret."},
            "previous_valid_until": {"help_text": "Until when the secret before this one works."},
        }

    def get_state(self, key: ApiKey) -> State:
        """Return what has become of the key by now."""
        return key.state(timezone.now())

    def validate_name(self, name: str) -> str:
        """Refuse what would show as something else, in lists of staff and in their terminals."""
        if not name.isprintable():
            raise serializers.ValidationError("A name has characters that can be seen only.")
        return name

    def validate_models(self, models: list[str]) -> list[str]:
        """Refuse patterns that take long to match.

        LiteLLM 1.109.1 reads a pattern as a regular expression, with ``.*`` for each star: there a
        plus repeats, and a name of 256 characters takes a pattern with four stars 0.3 seconds and
        one with nine forever (measured), while the worker does nothing else.
        """
        for model in models:
            stars = model.count("*")
            if stars > _MOST_STARS or (stars and "+" in model):
                raise serializers.ValidationError(
                    f"A pattern has {_MOST_STARS} stars at the most, and no plus sign."
                )
        return models

    def validate_scopes(self, scopes: list[str]) -> list[str]:
        """Each once."""
        return sorted(set(scopes))


class IssuedKeySerializer(ApiKeySerializer):
    """The same with the secret, which nobody can be told a second time."""

    secret = serializers.CharField(read_only=True)

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "secret")


class RotationSerializer(StrictSerializer):
    """How a key is rotated."""

    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        default=DEFAULT_OVERLAP_SECONDS,
        help_text="How long the secret it has now goes on to work; 0: it ends at once.",
    )
