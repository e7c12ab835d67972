from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from accounts.holdings.erasure import stores_of
from gateway_core.jobs.models import Job


class JobSerializer(serializers.ModelSerializer[Job]):
    """How far something is that is done in the background."""

    result = serializers.DictField(help_text="What has come of it so far.")

    class Meta:
        model = Job
        fields = ("id", "state", "done", "total", "result", "error", "created_at", "ended_at")
        read_only_fields: Any = fields


class StoreErasureSerializer(serializers.Serializer[Any]):
    """What has become of what one store held."""

    name = serializers.CharField()
    erased = serializers.DictField(
        child=serializers.IntegerField(),
        allow_null=True,
        help_text="How many of what; null until it is done.",
    )
    at = serializers.DateTimeField(allow_null=True)


class ErasureSerializer(serializers.ModelSerializer[Job]):
    """How far an erasure is, with a receipt for each store and nothing about the person."""

    receipt = serializers.SerializerMethodField(
        help_text="The address of this receipt, which needs no account: keep it."
    )
    stores = serializers.SerializerMethodField(help_text="In the order in which they are erased.")

    class Meta:
        model = Job
        fields = ("id", "state", "done", "total", "stores", "receipt", "created_at", "ended_at")
        read_only_fields: Any = fields

    def get_receipt(self, job: Job) -> str:
        """Return the path of the address."""
        return reverse("erasure", args=[job.pk])

    @extend_schema_field(StoreErasureSerializer(many=True))
    def get_stores(self, job: Job) -> Any:
        """Return a receipt for each store."""
        return StoreErasureSerializer(stores_of(job), many=True).data
