"""What the API of templates takes and answers."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from rest_framework import serializers

from gateway_core.intake import StrictSerializer
from templates_app.agent_file.loading import Format
from templates_app.agent_file.versions import MOST_CHARACTERS as VERSION_MAX_LENGTH
from templates_app.bundles import BUNDLE_VERSION
from templates_app.models import (
    NAME_MAX_LENGTH,
    TAG_MAX_LENGTH,
    Template,
    TemplateVersion,
    Visibility,
)

_MOST_TAGS: Final = 20
_MOST_VERSIONS: Final = 1000
_TAG: Final = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$"
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}").fullmatch
_DESCRIPTION_MAX_LENGTH: Final = 2000
_CHANGELOG_MAX_LENGTH: Final = 10_000


class TagsField(serializers.ListField):
    """Tags; in a query repeated, or with commas between them."""

    child = serializers.RegexField(_TAG, max_length=TAG_MAX_LENGTH)

    def __init__(self, **traits: Any) -> None:
        super().__init__(max_length=_MOST_TAGS, **traits)

    def to_internal_value(self, data: Any) -> list[str]:
        """Return each tag once, in order."""
        if isinstance(data, list):
            data = [part for tag in data for part in (tag.split(",") if _is_text(tag) else [tag])]
        return sorted(set(super().to_internal_value(data)))


class LabelsField(serializers.DictField):
    """Names and values that mean something to their author only."""

    child = serializers.CharField(max_length=200, allow_blank=True)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Return the labels.

        Raises:
            ValidationError: there are too many, or one has a name or value that can't be.
        """
        if isinstance(data, dict) and len(data) > _MOST_TAGS:
            raise serializers.ValidationError(f"There may be {_MOST_TAGS} labels at most.")
        if isinstance(data, dict) and not all(_is_text(name) and _LABEL(name) for name in data):
            raise serializers.ValidationError("Names of labels are letters, digits, . _ / and -.")
        return dict(super().to_internal_value(data))


class TemplateSerializer(serializers.ModelSerializer[Template]):
    """A template."""

    owner = serializers.PrimaryKeyRelatedField[Any](
        read_only=True, allow_null=True, help_text="Your id; null: it is the product's."
    )
    latest_version = serializers.CharField(
        read_only=True, allow_null=True, help_text="Null: all versions are deprecated."
    )
    labels = LabelsField(read_only=True)

    class Meta:
        model = Template
        fields: ClassVar[Any] = (
            *("id", "name", "description", "visibility", "owner", "tags", "labels"),
            *("latest_version", "created_at", "updated_at", "deprecated_at"),
        )
        read_only_fields = fields


class TemplateChangesSerializer(StrictSerializer):
    """What may be changed of a template."""

    description = serializers.CharField(
        required=False, max_length=_DESCRIPTION_MAX_LENGTH, allow_blank=True
    )
    tags = TagsField(required=False)
    labels = LabelsField(required=False)
    visibility = serializers.ChoiceField(
        Visibility.choices, required=False, help_text="`public`: for staff who may publish."
    )


class VersionSerializer(serializers.ModelSerializer[TemplateVersion]):
    """A version, without its content."""

    class Meta:
        model = TemplateVersion
        fields: ClassVar[Any] = (
            *("version", "checksum", "format", "is_latest", "changelog"),
            *("created_at", "deprecated_at"),
        )
        read_only_fields = fields


class FullVersionSerializer(VersionSerializer):
    """A version and the Agent File in it."""

    agent_file = serializers.DictField(source="document", read_only=True)

    class Meta(VersionSerializer.Meta):
        fields = (*VersionSerializer.Meta.fields, "agent_file")


class FilterSerializer(serializers.Serializer[Any]):
    """Which templates are listed."""

    q = serializers.CharField(
        required=False, max_length=200, help_text="A part of the name or of the description."
    )
    tag = TagsField(required=False, help_text="All of these.")
    visibility = serializers.ChoiceField(Visibility.choices, required=False)
    owner = serializers.ChoiceField(["me"], required=False, help_text="Only your own.")
    include_deprecated = serializers.BooleanField(default=False)


class PlaceSerializer(serializers.Serializer[Any]):
    """Where something is published."""

    visibility = serializers.ChoiceField(
        Visibility.choices,
        default=Visibility.PRIVATE,
        help_text="`public`: for everybody, as the product's. For staff who may publish.",
    )


class PublishSerializer(PlaceSerializer):
    """How a file is published."""

    changelog = serializers.CharField(
        default="", allow_blank=True, max_length=_CHANGELOG_MAX_LENGTH
    )
    tags = TagsField(required=False, help_text="The template's from now on. Left out: as they are.")


class PublishedSerializer(serializers.ModelSerializer[TemplateVersion]):
    """What has been published."""

    template_id = serializers.UUIDField(read_only=True)

    class Meta:
        model = TemplateVersion
        fields = ("template_id", "version", "checksum", "is_latest")
        read_only_fields = fields


class FaultSerializer(serializers.Serializer[Any]):
    """One fault of a file."""

    pointer = serializers.CharField(help_text="JSON pointer (RFC 6901); empty: the whole file.")
    message = serializers.CharField()


class FindingsSerializer(serializers.Serializer[Any]):
    """What was found in a file."""

    valid = serializers.BooleanField()
    errors = FaultSerializer(many=True)  # type: ignore[assignment]
    warnings = FaultSerializer(many=True)


class ReportSerializer(serializers.Serializer[Any]):
    """What there is to say about a file."""

    format = serializers.ChoiceField([one.value for one in Format])
    validation = FindingsSerializer()


class CloneSerializer(StrictSerializer, PlaceSerializer):
    """What a clone is to be."""

    name = serializers.CharField(
        default="", max_length=NAME_MAX_LENGTH, help_text="Left out: the name that it has."
    )
    version = serializers.CharField(default="latest", max_length=VERSION_MAX_LENGTH)


class LatestSerializer(StrictSerializer):
    """Which version is to be the latest."""

    version = serializers.CharField(max_length=VERSION_MAX_LENGTH)


class BundledTemplateSerializer(StrictSerializer):
    """What a bundle says of the template."""

    name = serializers.CharField(max_length=NAME_MAX_LENGTH)
    description = serializers.CharField(
        default="", allow_blank=True, max_length=_DESCRIPTION_MAX_LENGTH
    )
    tags = TagsField(default=list)
    labels = LabelsField(default=dict)


class BundledVersionSerializer(StrictSerializer):
    """What a bundle says of one version."""

    version = serializers.CharField(max_length=VERSION_MAX_LENGTH)
    checksum = serializers.CharField(max_length=64)
    format = serializers.ChoiceField([one.value for one in Format])
    file = serializers.CharField(
        trim_whitespace=False, help_text="The Agent File as it was published."
    )
    changelog = serializers.CharField(
        default="", allow_blank=True, max_length=_CHANGELOG_MAX_LENGTH
    )
    is_latest = serializers.BooleanField(default=False)
    is_deprecated = serializers.BooleanField(default=False)


class BundleSerializer(StrictSerializer):
    """A template with all its versions."""

    bundle_version = serializers.ChoiceField([BUNDLE_VERSION])
    template = BundledTemplateSerializer()
    versions = serializers.ListField(
        child=BundledVersionSerializer(), allow_empty=False, max_length=_MOST_VERSIONS
    )


class ImportedSerializer(serializers.Serializer[Any]):
    """What an import has brought."""

    template_id = serializers.UUIDField(source="template.pk")
    added = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.ListField(child=serializers.CharField())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
