from __future__ import annotations

from typing import Any

from rest_framework import serializers

from gateway_core.jobs.models import Job


class JobSerializer(serializers.ModelSerializer[Job]):
    """How far something is that is done in the background."""

    result = serializers.DictField(help_text="What has come of it so far.")

    class Meta:
        model = Job
        fields = ("id", "state", "done", "total", "result", "error", "created_at", "ended_at")
        read_only_fields: Any = fields
