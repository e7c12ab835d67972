from __future__ import annotations

from typing import Any, Final

import orjson
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.holdings.holder import holders
from accounts.models import User
from accounts.plans.left import told_limits
from gateway_core.errors import FieldInvalid
from gateway_core.intake import StrictSerializer

_PREFERENCES_BYTES: Final = 4096


class MeSerializer(StrictSerializer, serializers.ModelSerializer[User]):
    """What the gateway tells a user about themselves."""

    is_anonymous = serializers.BooleanField(
        source="is_anonymous_user", read_only=True, help_text="Signed in without an account."
    )
    limits = serializers.SerializerMethodField()
    holdings = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (
            "id",
            "email",
            "display_name",
            "is_anonymous",
            "created_at",
            "preferences",
            "limits",
            "holdings",
        )
        read_only_fields = ("id", "email", "display_name", "created_at")

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_limits(self, user: User) -> dict[str, Any]:
        """Return what the user's plan allows, and which requests are left; null is no limit."""
        return told_limits(user.pk)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_holdings(self, user: User) -> dict[str, Any]:
        """Return what is held of the user: plan, agents, keys, budget."""
        told: dict[str, Any] = {}
        for holder in holders():
            told |= holder.summarise(user.pk)
        return told

    def validate_preferences(self, value: Any) -> Any:
        """Keep preferences to a small object."""
        if not isinstance(value, dict) or len(orjson.dumps(value)) > _PREFERENCES_BYTES:
            raise FieldInvalid(
                f"preferences is a JSON object of {_PREFERENCES_BYTES} bytes at the most.",
                param="preferences",
            )
        return value
