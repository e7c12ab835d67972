"""What the control plane takes in: JSON bodies within limits, and serializers that heed all."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

import orjson
from django.conf import settings
from rest_framework import serializers
from rest_framework.parsers import BaseParser

from gateway_core.errors import BodyTooLarge, RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST: Final = 32


class JSONParser(BaseParser):
    """REST framework's own reads any number of bytes, and fails on what is nested deeply."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the values.

        Raises:
            BodyTooLarge: it has more than MAX_JSON_BYTES bytes.
            RequestMalformed: it is no JSON, or nested more than 32 deep.
        """
        del media_type, parser_context
        content = stream.read(settings.MAX_JSON_BYTES + 1)
        if len(content) > settings.MAX_JSON_BYTES:
            raise BodyTooLarge(f"The body is larger than {settings.MAX_JSON_BYTES} bytes.")
        try:
            orjson.loads(content)  # which refuses NaN and half a surrogate pair
            value = json.loads(content, object_pairs_hook=_object)
        except (ValueError, RecursionError) as exc:
            raise RequestMalformed(f"The body is not JSON: {exc}.") from exc
        if _is_deeper(value, _DEEPEST):
            raise RequestMalformed(f"The body is nested more than {_DEEPEST} deep.")
        return value


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it would not heed: a misspelt limit is no limit."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated values.

        Raises:
            ValidationError: a field can't be set, or not to that.
        """
        settable = {name for name, field in self.fields.items() if not field.read_only}
        others = set(data) - settable if isinstance(data, dict) else ()
        if others:
            raise serializers.ValidationError(dict.fromkeys(others, "This can't be set."))
        return super().to_internal_value(data)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(members)
    if len(values) < len(members):
        raise ValueError("a name stands twice in one object")
    return values


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deeper(one, levels - 1) for one in inner)
