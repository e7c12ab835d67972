"""What the API of agents takes and answers."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

import orjson
from rest_framework import serializers

from agents.exports import FORMAT, FORMAT_VERSION
from agents.models import DESCRIPTION_MAX_LENGTH, OWN_TAG, TAG_MAX_LENGTH, Agent, Status
from agents.variables import shown_variables
from gateway_core.intake import StrictSerializer

# As in Letta, which answers another name with a failure of its own (measured).
_NAME: Final = re.compile(r"[\w '\-]+").fullmatch
_NAME_LENGTH: Final = 100
_MOST_TAGS: Final = 50
_METADATA_BYTES: Final = 16 * 1024
_VERSION_LENGTH: Final = 128


class NameField(serializers.CharField):
    """A name that Letta takes."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(max_length=_NAME_LENGTH, **traits)

    def to_internal_value(self, data: Any) -> str:
        """Return the name.

        Raises:
            ValidationError: Letta would not take it.
        """
        name: str = super().to_internal_value(data)
        if name and not _NAME(name):
            raise serializers.ValidationError(
                "may only have letters, digits, spaces, hyphens, underscores and apostrophes."
            )
        return name


class TagField(serializers.CharField):
    """A tag that is not the gateway's own."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(max_length=TAG_MAX_LENGTH, **traits)

    def to_internal_value(self, data: Any) -> str:
        """Return the tag.

        Raises:
            ValidationError: it looks like one of the gateway's.
        """
        tag: str = super().to_internal_value(data)
        if tag.startswith(OWN_TAG):
            raise serializers.ValidationError(f"may not begin with {OWN_TAG}.")
        return tag


class MetadataField(serializers.DictField):
    """Any JSON object that is not too large."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the object.

        Raises:
            ValidationError: it is too large.
        """
        value = super().to_internal_value(data)
        if len(orjson.dumps(value)) > _METADATA_BYTES:
            raise serializers.ValidationError(f"may have {_METADATA_BYTES} bytes at most.")
        return value


def _tags(**traits: Any) -> serializers.ListField:
    return serializers.ListField(child=TagField(), max_length=_MOST_TAGS, **traits)


def _description(**traits: Any) -> serializers.CharField:
    return serializers.CharField(allow_blank=True, max_length=DESCRIPTION_MAX_LENGTH, **traits)


class MadeFromSerializer(serializers.Serializer[Any]):
    """The version of a template that an agent was made from."""

    id = serializers.CharField()
    version = serializers.CharField(
        allow_blank=True, help_text="Empty: a remote AMS has not said which."
    )
    checksum = serializers.CharField(
        allow_blank=True, help_text="Empty: a remote AMS has not told it."
    )


class AgentSerializer(serializers.ModelSerializer[Agent]):
    """An agent."""

    id = serializers.SerializerMethodField(
        help_text="Letta's id, the same on /api/v1/letta; null before Letta has made the agent."
    )
    user_id = serializers.UUIDField(read_only=True)
    template = MadeFromSerializer(
        read_only=True, allow_null=True, help_text="Null: made from no template."
    )
    variables = serializers.SerializerMethodField(help_text="Secret ones are masked.")
    etag = serializers.CharField(read_only=True)
    metadata = serializers.DictField(read_only=True)

    class Meta:
        model = Agent
        fields: ClassVar[Any] = (
            *("id", "user_id", "name", "description", "status", "suspended_by", "origin"),
            *("template", "variables", "model", "embedding", "tags", "metadata"),
            *("etag", "last_error", "created_at", "updated_at"),
        )
        read_only_fields = fields

    def get_id(self, agent: Agent) -> str | None:
        """Return Letta's id."""
        return agent.agent_id or None

    def get_variables(self, agent: Agent) -> dict[str, Any]:
        """Return the variables as they may be shown."""
        return shown_variables(agent)


class AgentTraitsSerializer(StrictSerializer):
    """What a new agent is called and marked with."""

    agent_name = NameField(required=False, allow_blank=True)
    description = _description(required=False)
    tags = _tags(required=False)
    metadata = MetadataField(required=False)


class AgentCreateSerializer(AgentTraitsSerializer):
    """An agent to be made from a template."""

    template_id = serializers.CharField(max_length=128)
    version = serializers.CharField(
        required=False, max_length=_VERSION_LENGTH, help_text="Left out: the latest."
    )
    use_latest = serializers.BooleanField(required=False, help_text="Instead of a version.")
    variables = serializers.DictField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take one of the two.

        Raises:
            ValidationError: both are there.
        """
        if attrs.get("version") and attrs.get("use_latest"):
            raise serializers.ValidationError({"use_latest": "goes without a version."})
        return attrs


class MadeAgentSerializer(serializers.Serializer[Any]):
    """A new agent."""

    agent = AgentSerializer()
    template_checksum = serializers.CharField()


class LettaMadeAgentSerializer(serializers.Serializer[Any]):
    """A new agent, in Letta's words."""

    agent = serializers.DictField(help_text="As from Letta's own API.")
    template_checksum = serializers.CharField()


class AgentCloneSerializer(AgentTraitsSerializer):
    """A copy to be made."""

    include_memory = serializers.BooleanField(
        default=True, help_text="Blocks and passages as they are now; else as it began."
    )
    include_messages = serializers.BooleanField(
        default=False, help_text="The messages in its context."
    )


class AgentChangesSerializer(StrictSerializer):
    """What may be changed of an agent here. All else is changed in Letta, or by an upgrade."""

    name = NameField(required=False)
    description = _description(required=False)
    tags = _tags(required=False)
    metadata = MetadataField(required=False)


class AgentFilterSerializer(serializers.Serializer[Any]):
    """Which agents are listed."""

    status = serializers.ChoiceField(Status.choices, required=False)
    template_id = serializers.CharField(required=False, max_length=128)
    tag = TagField(required=False)
    q = serializers.CharField(
        required=False, max_length=200, help_text="Words that name or description have in them."
    )


class ExportedAgentSerializer(serializers.Serializer[Any]):
    """What an export file says of the agent."""

    body = serializers.DictField(help_text="What Letta would make it from again.")
    template = MadeFromSerializer(allow_null=True, required=False)
    variables = serializers.DictField(required=False, help_text="Without secret ones.")
    passages = serializers.ListField(child=serializers.DictField(), required=False)
    messages = serializers.ListField(child=serializers.DictField(), required=False)


class AgentFileSerializer(serializers.Serializer[Any]):
    """An agent as a file: data only, neither code nor addresses nor secrets."""

    format = serializers.ChoiceField([FORMAT])
    format_version = serializers.ChoiceField([FORMAT_VERSION])
    exported_at = serializers.DateTimeField(required=False)
    agent = ExportedAgentSerializer()
    checksum = serializers.CharField(
        required=False, help_text="SHA-256 of `agent`; left out when it was edited."
    )


class AgentImportSerializer(AgentTraitsSerializer):
    """An agent to be made from a file."""

    file = AgentFileSerializer()
    variables = serializers.DictField(
        required=False, help_text="Instead of the file's; secret ones are in no file."
    )


class DeleteOptionsSerializer(serializers.Serializer[Any]):
    """How an agent is deleted: with all that it is."""

    keep_letta = serializers.BooleanField(
        default=False, help_text="For clients of AMS. True is refused: see the guide on agents."
    )

    def validate_keep_letta(self, value: bool) -> bool:  # noqa: FBT001 - as DRF calls it
        """Refuse it.

        Raises:
            ValidationError: it is to be kept.
        """
        if value:
            raise serializers.ValidationError(
                "is not offered: what is in Letta is in this list. Export the agent and delete it, "
                "or suspend it."
            )
        return value


class ExportOptionsSerializer(serializers.Serializer[Any]):
    """What goes into an export."""

    include_messages = serializers.BooleanField(default=True)
