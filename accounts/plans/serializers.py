from __future__ import annotations

from rest_framework import serializers


class RequestsSerializer(serializers.Serializer[object]):
    """Requests of one class."""

    per_hour = serializers.IntegerField(help_text="In the long run.")
    burst = serializers.IntegerField(help_text="In one go, after a rest.")
    at_once = serializers.IntegerField(allow_null=True, help_text="Under way at the same time.")
    remaining = serializers.IntegerField(help_text="That could be made now.")
    under_way = serializers.IntegerField(help_text="Where that is limited.")
    reset_after = serializers.IntegerField(
        help_text="Seconds until all could be; when none can, until the next one."
    )


class ClassesSerializer(serializers.Serializer[object]):
    """Requests by what they are counted as."""

    general = RequestsSerializer()
    llm = RequestsSerializer()
    proxy = RequestsSerializer()
    uploads = RequestsSerializer()
    writes = RequestsSerializer()


class CountSerializer(serializers.Serializer[object]):
    """Things that a plan allows so many of."""

    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True)


class LeftSerializer(serializers.Serializer[object]):
    """What the caller may do and have; null is no limit."""

    plan = serializers.CharField()
    requests = ClassesSerializer(allow_null=True)
    budget = serializers.DictField(help_text="US dollars, as texts, and when it begins anew.")
    agents = CountSerializer()
    api_keys = CountSerializer()
    allowed_models = serializers.ListField(
        child=serializers.CharField(), help_text="Names and patterns; none: all."
    )
    requests_per_minute = serializers.IntegerField(allow_null=True, help_text="Model calls.")
    tokens_per_minute = serializers.IntegerField(allow_null=True, help_text="Of model calls.")
    max_parallel_calls = serializers.IntegerField(allow_null=True, help_text="On each key.")
