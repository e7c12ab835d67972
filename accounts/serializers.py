from __future__ import annotations

from rest_framework import serializers

from accounts.models import User


class MeSerializer(serializers.ModelSerializer[User]):
    """What the gateway tells a user about themselves."""

    is_anonymous = serializers.BooleanField(
        source="is_anonymous_user", read_only=True, help_text="Signed in without an account."
    )

    class Meta:
        model = User
        fields = ("id", "email", "is_anonymous", "created_at")
        read_only_fields = fields
