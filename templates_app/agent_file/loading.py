"""From bytes that anybody may have sent to plain JSON values, within limits."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from templates_app.agent_file.bounds import refuse_unwieldy, too_deep
from templates_app.agent_file.unreadable import TooLarge, Unreadable, duplicate
from templates_app.agent_file.yaml_values import from_yaml


class Format(StrEnum):
    """How an Agent File is written."""

    YAML = "yaml"
    JSON = "json"

    @property
    def media_type(self) -> str:
        """What it is served as; RFC 9512 for YAML."""
        return f"application/{self.value}"


_MEDIA_TYPES: Final = {
    "application/json": Format.JSON,
    "text/json": Format.JSON,
    "application/yaml": Format.YAML,
    "application/x-yaml": Format.YAML,
    "text/yaml": Format.YAML,
    "text/x-yaml": Format.YAML,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A file that could be read; whether it is an Agent File is another matter."""

    format: Format
    text: str
    document: Any


def load(content: bytes, *, max_bytes: int, media_type: str = "") -> Loaded:
    """Return the values of a file in YAML or JSON.

    Args:
        media_type: a Content-Type; where it says nothing, a file that begins with a brace is JSON
            and any other YAML.

    Raises:
        TooLarge: it has more bytes.
        Unreadable: it is neither, or more than JSON values: see ``docs/AGENT_FILE.md``.
    """
    if len(content) > max_bytes:
        raise TooLarge(max_bytes)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Unreadable("The file is not UTF-8 text.") from exc
    file_format = _MEDIA_TYPES.get(media_type.partition(";")[0].strip().lower()) or _guess(text)
    document = from_json(text) if file_format is Format.JSON else from_yaml(text)
    refuse_unwieldy(document)
    return Loaded(format=file_format, text=text, document=document)


def from_json(text: str) -> Any:
    """Return the values of a JSON text.

    Raises:
        Unreadable: it is none, names a member twice, or holds NaN or Infinity.
    """
    try:
        return json.loads(text, object_pairs_hook=_members, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        raise Unreadable(f"{exc.msg}.", line=exc.lineno, column=exc.colno) from exc
    except RecursionError as exc:
        raise too_deep() from exc
    except ValueError as exc:  # Python reads no number of more than 4300 digits
        raise Unreadable("A number has too many digits.") from exc


def _guess(text: str) -> Format:
    return Format.JSON if text.lstrip()[:1] == "{" else Format.YAML


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        (name, _times), *_others = Counter(name for name, _ in pairs).most_common(1)
        raise duplicate(name)
    return members


def _refuse_constant(name: str) -> None:
    raise Unreadable(f"{name} is not a number that JSON has.")
