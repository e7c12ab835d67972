"""What the system routes answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from gateway_project.system.readiness import Status

_STATUSES = [status.value for status in Status]


class HealthSerializer(serializers.Serializer[Any]):
    """The process answers."""

    status = serializers.ChoiceField([Status.OK.value])
    version = serializers.CharField()


class CheckSerializer(serializers.Serializer[Any]):
    """What one probe found."""

    name = serializers.CharField()
    ok = serializers.BooleanField()
    status = serializers.ChoiceField(_STATUSES)
    latency_ms = serializers.FloatField()
    detail = serializers.CharField()


class ReadinessSerializer(serializers.Serializer[Any]):
    """Whether this process can serve, and why not."""

    status = serializers.ChoiceField(_STATUSES)
    checks = CheckSerializer(many=True, source="findings")


class UpstreamSerializer(serializers.Serializer[Any]):
    """A service behind the gateway."""

    name = serializers.CharField()
    serves = serializers.CharField()
    prefix = serializers.CharField()
    is_configured = serializers.BooleanField()


class ExaminedUpstreamSerializer(UpstreamSerializer):
    """The same for staff."""

    address = serializers.CharField()
    timeout_seconds = serializers.FloatField()
    max_concurrent = serializers.IntegerField()
    checks = CheckSerializer(many=True)


class EnabledSerializer(serializers.Serializer[Any]):
    """What is switched on."""

    docs = serializers.BooleanField()
    metrics = serializers.BooleanField()
    anonymous_users = serializers.BooleanField()
    oauth_clients = serializers.BooleanField()


class InfoSerializer(serializers.Serializer[Any]):
    """What this is."""

    name = serializers.CharField()
    version = serializers.CharField()
    environment = serializers.CharField()
    uptime_seconds = serializers.IntegerField()
    upstreams = UpstreamSerializer(many=True)
    enabled = EnabledSerializer()
