"""JSON values from YAML, built from libyaml's events without any constructor.

What YAML has beyond JSON is refused: tags, which make objects; anchors and aliases, which make much
of little; several documents; names that are not text. Plain words are read by the core schema of
YAML 1.2 (§10.3.2): ``no`` and ``2026-11-23`` are texts.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from templates_app.agent_file.bounds import DEEPEST, too_deep
from templates_app.agent_file.unreadable import Unreadable, duplicate, shown

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+", re.ASCII).fullmatch
_OCTAL: Final = re.compile(r"0o[0-7]+").fullmatch
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+").fullmatch
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?").fullmatch
_NO_NUMBER: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)").fullmatch
_NO_NAME: Final = object()


def from_yaml(text: str) -> Any:
    """Return the values of a YAML text of one document.

    Raises:
        Unreadable: it is none, or has more than JSON values in it.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise _unreadable(f"{(exc.problem or 'this is not YAML').capitalize()}.", mark) from exc
    except yaml.YAMLError as exc:
        raise Unreadable("The file has characters that YAML does not allow.") from exc
    if not builder.roots:
        raise Unreadable("The file is empty.")
    return builder.roots[0]


class _Builder:
    """Takes events in turn. Not recursive: the depth of a file is its author's choice."""

    def __init__(self) -> None:
        self.roots: list[Any] = []
        self._open: list[dict[Any, Any] | list[Any]] = []
        self._names: list[Any] = []

    def take(self, event: Any) -> None:
        """Take one event."""
        self._refuse_beyond_json(event)
        match event:
            case yaml.ScalarEvent():
                self._add(_scalar(event), event)
            case yaml.MappingStartEvent():
                self._begin({}, event)
            case yaml.SequenceStartEvent():
                self._begin([], event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
                self._names.pop()
            case yaml.DocumentStartEvent() if self.roots:
                raise _unreadable("The file has more than one document.", event.start_mark)

    def _begin(self, container: dict[Any, Any] | list[Any], event: Any) -> None:
        self._add(container, event)
        self._open.append(container)
        self._names.append(_NO_NAME)
        if len(self._open) > DEEPEST:
            raise too_deep()

    def _add(self, value: Any, event: Any) -> None:
        holder = self._open[-1] if self._open else self.roots
        if isinstance(holder, list):
            holder.append(value)
        elif self._names[-1] is _NO_NAME:
            self._names[-1] = _name(value, holder, event)
            return
        else:
            holder[self._names[-1]] = value
            self._names[-1] = _NO_NAME

    @staticmethod
    def _refuse_beyond_json(event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _unreadable(
                "Anchors and aliases are not read. Write the value out.", event.start_mark
            )
        if getattr(event, "tag", None) is not None:
            raise _unreadable("Tags are not read. Leave it out.", event.start_mark)


def _name(value: Any, holder: dict[Any, Any], event: Any) -> str:
    mark = event.start_mark
    if not isinstance(value, str):
        raise _unreadable("A name must be text. Put it in quotes.", mark)
    if value in holder:
        raise duplicate(value, line=mark.line + 1, column=mark.column + 1)
    return value


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style or not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NO_NUMBER(text):
        raise _unreadable(f"{shown(text)} is not a number that JSON has.", event.start_mark)
    try:
        return _number(text)
    except ValueError as exc:  # Python reads no number of more than 4300 digits
        raise _unreadable("The number has too many digits.", event.start_mark) from exc


def _number(text: str) -> Any:
    if _INTEGER(text):
        return int(text)
    if _OCTAL(text):
        return int(text, 8)
    if _HEXADECIMAL(text):
        return int(text, 16)
    return float(text) if _FLOAT(text) else text


def _unreadable(message: str, mark: Any) -> Unreadable:
    if mark is None:
        return Unreadable(message)
    return Unreadable(message, line=mark.line + 1, column=mark.column + 1)
