"""What the system routes answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from gateway_core.breaker.machine import State
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


class CircuitSerializer(serializers.Serializer[Any]):
    """A circuit breaker, and the queue before it."""

    name = serializers.CharField()
    state = serializers.ChoiceField([state.value for state in State])
    until = serializers.DateTimeField(
        allow_null=True, help_text="When it is tried again; null when closed, or open until reset."
    )
    reason = serializers.CharField(allow_blank=True)
    calls = serializers.IntegerField(help_text="Of the process that answers, lately.")
    failure_rate = serializers.FloatField()
    slow_rate = serializers.FloatField()
    in_use = serializers.IntegerField(help_text="Users' calls under way in this process.")
    waiting = serializers.IntegerField(help_text="Users' calls that wait for their turn.")


class BreakerActionSerializer(serializers.Serializer[Any]):
    """What to do with a breaker."""

    action = serializers.ChoiceField(["trip", "reset"])
    reason = serializers.CharField(default="tripped by staff", max_length=200)


class ExaminedUpstreamSerializer(UpstreamSerializer):
    """The same for staff."""

    address = serializers.CharField()
    timeout_seconds = serializers.FloatField()
    max_concurrent = serializers.IntegerField()
    checks = CheckSerializer(many=True)
    circuits = CircuitSerializer(many=True)


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
