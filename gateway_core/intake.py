"""What the control plane takes in: JSON bodies within limits, and serializers that heed all."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar, cast

import orjson
from django.conf import settings
from rest_framework import serializers
from rest_framework.parsers import BaseParser

from gateway_core.crowded import MOST, refuse_crowded
from gateway_core.errors import BodyTooLarge, FieldInvalid, RequestMalformed
from gateway_core.spelling import meant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.serializers import BaseSerializer

ViewT = TypeVar("ViewT", bound="Callable[..., Any]")

_DEEPEST: Final = 32
_GUESSED: Final = 5  # unknown names of a body that are compared with the known ones
_SHOWN: Final = 80  # characters of a name that an error repeats


def takes_up_to(setting: str) -> Callable[[ViewT], ViewT]:
    """Have a view, or a method of one, get bodies of more bytes than MAX_JSON_BYTES.

    Of what says nothing of it a larger body is refused before it is read.

    Args:
        setting: its name; the value is how many.
    """

    def mark(view: ViewT) -> ViewT:
        view.takes_up_to = setting  # type: ignore[attr-defined]
        return view

    return mark


def most_bytes(view: Any) -> int:
    """Return how many bytes a body may have that is for a view."""
    larger: int = getattr(settings, getattr(view, "takes_up_to", "MAX_JSON_BYTES"))
    return max(settings.MAX_JSON_BYTES, larger)


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
            RequestMalformed, FieldInvalid: as ``values_of`` says.
        """
        del media_type, parser_context
        return values_of(_read(stream, settings.MAX_JSON_BYTES))


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it would not heed: a misspelt limit is no limit."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated values.

        Raises:
            ValidationError: fields can't be set, or not to that; it tells of all of them.
        """
        settable = [name for name, field in self.fields.items() if not field.read_only]
        others = [name for name in data if name not in settable] if isinstance(data, dict) else []
        faults: dict[str, Any] = {name: ["This can't be set."] for name in others}
        for name in others[:_GUESSED]:
            faults[name] = [f"This can't be set.{meant(name, settable)}"]
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as exc:
            # The misspelt name first: it is why another one is missing.
            faults.update(cast("dict[str, Any]", exc.detail))
        if faults:
            raise serializers.ValidationError(faults)
        return values


def valid(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """Return the values of a serializer that was given some.

    Raises:
        ValidationError: they are not valid.
    """
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def raw_body(request: Request, max_bytes: int) -> tuple[bytes, str]:
    """Return the body as it is, and its Content-Type.

    Not by a parser: REST framework takes a body that comes in chunks for none.

    Raises:
        BodyTooLarge: there is more of it.
    """
    return _read(request._request, max_bytes), request.content_type  # noqa: SLF001 - what it wraps


def values_of(content: bytes, *, deepest: int = _DEEPEST, most: int = MOST) -> Any:
    """Return the values of a JSON text that can be stored, and written again.

    Args:
        most: objects and lists in it, as ``refuse_crowded`` counts them.

    Raises:
        RequestMalformed: it is none, holds more, or is nested deeper.
        FieldInvalid: it has a text that PostgreSQL can't hold, or a number that orjson can't write.
    """
    refuse_crowded(content, most=most)
    try:
        orjson.loads(content)  # which refuses NaN and half a surrogate pair
        value = json.loads(content, object_pairs_hook=_object)
    except (ValueError, RecursionError) as exc:
        raise RequestMalformed(f"The body is not JSON: {exc}.") from exc
    if _is_deeper(value, deepest):
        raise RequestMalformed(f"The body is nested more than {deepest} deep.")
    _refuse_unkept(value, ())
    return value


def _read(stream: IO[bytes] | HttpRequest, max_bytes: int) -> bytes:
    content: bytes = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
    return content


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


def _refuse_unkept(value: Any, way: tuple[Any, ...]) -> None:
    """Take one value; ``way`` holds the way to its holder, and its place there."""
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_unkept(name, way)
            _refuse_unkept(item, (way, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unkept(item, (way, index))
    elif isinstance(value, str) and "\0" in value:
        raise _invalid(way, "may not have a NUL character")
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise _invalid(way, "has a number of more than 64 bits")


def _invalid(way: tuple[Any, ...], problem: str) -> FieldInvalid:
    steps: list[str] = []
    while way:
        way, step = way
        steps.insert(0, str(step)[:_SHOWN].replace("~", "~0").replace("/", "~1"))
    where = "".join(f"/{step}" for step in steps)
    return FieldInvalid(
        f"{where or 'The body'} {problem}.",
        param=where,
        errors=[{"pointer": where, "message": problem}],
    )
